use chrono::Datelike as _;
use teppan_shared::{
    contract::booking::v1::{ListVenuesRequest, ListVenuesResponse},
    page::{self, PageSizes, TokenError},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::encode;
use crate::{
    domain::VenueName,
    venues::list::{VenueCursor, VenuePage},
};

const SIZES: PageSizes = PageSizes { default: 50, max: 1000 };

/// A requested page of venues.
pub struct Page {
    pub name: Option<VenueName>,
    pub after: Option<VenueCursor>,
    pub size: u16,
}

/// Decodes the request, or returns every violation.
pub fn decode(request: ListVenuesRequest) -> Result<Page, Status> {
    let mut violations = Violations::default();
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    let after = violations.check("page_token", decode_token(&request.name, &request.page_token));
    // In the normal form in which names are stored.
    let name = violations.check_optional("name", given(request.name).map(|name| VenueName::parse(&name)));
    let (Some(size), Some(after), Some(name)) = (size, after, name) else { return Err(violations.into_status()) };
    Ok(Page { name, after, size })
}

pub fn encode(page: &Page, found: VenuePage) -> ListVenuesResponse {
    let name = page.name.as_ref().map_or("", VenueName::as_str);
    ListVenuesResponse {
        venues: found.venues.into_iter().map(encode::venue).collect(),
        next_page_token: found.next.map_or_else(String::new, |cursor| page::encode_token(&name, &cursor)),
    }
}

fn decode_token(name: &str, token: &str) -> Result<Option<VenueCursor>, TokenError> {
    let Some(cursor) = page::decode_token::<VenueCursor>(&name, token)? else { return Ok(None) };
    // Refuse a forged token whose values the database cannot read.
    if (1970..10_000).contains(&cursor.0.year()) { Ok(Some(cursor)) } else { Err(TokenError::Unreadable) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_forged_page_token_is_refused() {
        let id = Uuid::from_u128(7);
        let decode = |created_at: &str| decode_token("Teppan", &page::encode_token(&"Teppan", &(created_at, id)));
        let cursor = decode("2026-12-05T18:00:00.123456Z").expect("readable").expect("there");
        assert_eq!(decode_token("Teppan", &page::encode_token(&"Teppan", &cursor)), Ok(Some(cursor)));
        for bad in ["1969-12-31T23:59:59Z", "+10000-01-01T00:00:00Z", "-2026-12-05T18:00:00Z", "2026-12-05", ""] {
            assert_eq!(decode(bad), Err(TokenError::Unreadable), "{bad:?}");
        }
        assert_eq!(decode_token("Teppan", &page::encode_token(&"Teppan", &7)), Err(TokenError::Unreadable));
    }
}
