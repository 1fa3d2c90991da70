use chrono::Datelike as _;
use serde::Serialize;
use teppan_shared::{
    contract::booking::v1::{ListVenuesRequest, ListVenuesResponse},
    page::{self, PageSizes, TokenError},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::encode;
use crate::{
    domain::{TimeZone, VenueName, VenuePlace, VenueTags},
    venues::list::{VenueCursor, VenuePage, VenueSearch},
};

const SIZES: PageSizes = PageSizes { default: 50, max: 1000 };

/// A requested page of venues.
pub struct Page {
    pub search: VenueSearch,
    pub after: Option<VenueCursor>,
    pub size: u16,
}

/// Decodes the request, or returns every violation.
pub fn decode(request: ListVenuesRequest) -> Result<Page, Status> {
    let mut violations = Violations::default();
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    // In the normal form in which names are stored.
    let name = violations.check_optional("name", given(request.name).map(|name| VenueName::parse(&name)));
    let name_prefix =
        violations.check_optional("name_prefix", given(request.name_prefix).map(|name| VenueName::parse(&name)));
    let place = violations.check_optional("place", given(request.place).map(|place| VenuePlace::parse(&place)));
    let tags = violations.check("tags", VenueTags::parse(&request.tags));
    let time_zone = violations.check_optional("time_zone", given(request.time_zone).map(|zone| TimeZone::parse(&zone)));
    let search = match (name, name_prefix, place, tags, time_zone) {
        (Some(name), Some(name_prefix), Some(place), Some(tags), Some(time_zone)) => Some(VenueSearch {
            name: name.map(|name| name.as_str().to_owned()),
            name_prefix: name_prefix.map(|name| name.as_str().to_owned()),
            place: place.map(|place| place.as_str().to_owned()),
            tags: tags.as_slice().to_vec(),
            time_zone: time_zone.map(|zone| zone.name().to_owned()),
        }),
        _ => None,
    };
    let after = match &search {
        Some(search) => decode_token(search, &request.page_token),
        // The token cannot belong to filters that cannot be read.
        None => decode_token(&VenueSearch::default(), &request.page_token).or_else(|error| match error {
            TokenError::OtherFilters => Ok(None),
            TokenError::Unreadable => Err(error),
        }),
    };
    let after = violations.check("page_token", after);
    let (Some(search), Some(after), Some(size)) = (search, after, size) else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok(Page { search, after, size })
}

pub fn encode(page: &Page, found: VenuePage) -> ListVenuesResponse {
    ListVenuesResponse {
        venues: found.venues.into_iter().map(encode::venue).collect(),
        next_page_token: found.next.map_or_else(String::new, |cursor| encode_token(&page.search, &cursor)),
    }
}

fn encode_token(search: &VenueSearch, cursor: &VenueCursor) -> String {
    page::encode_token(&filters(search), cursor)
}

fn decode_token(search: &VenueSearch, token: &str) -> Result<Option<VenueCursor>, TokenError> {
    let Some(cursor) = page::decode_token::<VenueCursor>(&filters(search), token)? else { return Ok(None) };
    // Refuse a forged token whose values the database cannot read.
    if (1970..10_000).contains(&cursor.0.year()) { Ok(Some(cursor)) } else { Err(TokenError::Unreadable) }
}

/// The filters that a token belongs to. Without the later filters they are those of earlier versions, whose tokens stay
/// valid while versions are replaced.
#[derive(Serialize)]
#[serde(untagged)]
enum Filters<'a> {
    Name(&'a str),
    Search(&'a VenueSearch),
}

fn filters(search: &VenueSearch) -> Filters<'_> {
    match search.only_name() {
        Some(name) => Filters::Name(name),
        None if *search == VenueSearch::default() => Filters::Name(""),
        None => Filters::Search(search),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_forged_page_token_is_refused() {
        let id = Uuid::from_u128(7);
        let search = VenueSearch { name: Some("Teppan".to_owned()), ..VenueSearch::default() };
        let decode = |created_at: &str| decode_token(&search, &page::encode_token(&"Teppan", &(created_at, id)));
        let cursor = decode("2026-12-05T18:00:00.123456Z").expect("readable").expect("there");
        assert_eq!(decode_token(&search, &page::encode_token(&"Teppan", &cursor)), Ok(Some(cursor)));
        for bad in ["1969-12-31T23:59:59Z", "+10000-01-01T00:00:00Z", "-2026-12-05T18:00:00Z", "2026-12-05", ""] {
            assert_eq!(decode(bad), Err(TokenError::Unreadable), "{bad:?}");
        }
        assert_eq!(decode_token(&search, &page::encode_token(&"Teppan", &7)), Err(TokenError::Unreadable));
    }
}
