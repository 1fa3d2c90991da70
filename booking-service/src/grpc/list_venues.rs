use chrono::Datelike as _;
use teppan_shared::{
    contract::booking::v1::{ListVenuesRequest, ListVenuesResponse},
    page::{self, PageSizes, TokenError},
    status::Violations,
};
use tonic::Status;

use super::encode;
use crate::{get_venue::Venue, list_venues::VenueCursor};

const SIZES: PageSizes = PageSizes { default: 50, max: 1000 };

/// A page of venues that is asked for.
pub struct Page {
    pub name: Option<String>,
    pub after: Option<VenueCursor>,
    pub size: usize,
}

/// Reads the request, or lists everything that is wrong with it.
pub fn decode(request: ListVenuesRequest) -> Result<Page, Status> {
    let mut violations = Violations::default();
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    let after = page::decode_token(&request.name, &request.page_token).and_then(|cursor: Option<VenueCursor>| {
        // A forged one must not reach the database with a time it cannot hold.
        let holds = cursor.is_none_or(|(created_at, _)| (1970..10_000).contains(&created_at.year()));
        if holds { Ok(cursor) } else { Err(TokenError::Unreadable) }
    });
    let after = violations.check("page_token", after);
    if request.name.contains('\0') {
        violations.add("name", "must not contain NUL");
    }
    let (Some(size), Some(after)) = (size, after) else { return Err(violations.into_status()) };
    violations.finish()?;
    let name = (!request.name.is_empty()).then_some(request.name);
    Ok(Page { name, after, size: size.into() })
}

/// One more venue than the page holds tells that there is another page.
pub fn encode(page: &Page, mut venues: Vec<Venue>) -> ListVenuesResponse {
    let more = venues.len() > page.size;
    venues.truncate(page.size);
    let next_page_token = match venues.last() {
        Some(last) if more => {
            page::encode_token(&page.name.as_deref().unwrap_or(""), &(last.created_at, last.venue_id))
        }
        _ => String::new(),
    };
    ListVenuesResponse { venues: venues.into_iter().map(encode::venue).collect(), next_page_token }
}
