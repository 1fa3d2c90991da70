use chrono::{DateTime, Utc};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{venues::Venues, venues::get::Venue};

/// A cursor position: creation time and id of the venue after which the page starts.
pub type VenueCursor = (DateTime<Utc>, Uuid);

/// Venues, and the position after which the next page starts, if there is one.
pub struct VenuePage {
    pub venues: Vec<Venue>,
    pub next: Option<VenueCursor>,
}

impl Venues {
    /// Lists venues in order of creation, after the cursor position; only the venues of this name, if one is given.
    pub async fn list_venues(
        &self,
        name: Option<&str>,
        after: Option<VenueCursor>,
        page_size: u16,
    ) -> Result<VenuePage, DatabaseError> {
        let mut venues = self.venue_rows(name, after, page_size).await?;
        let more = venues.len() > page_size.into();
        venues.truncate(page_size.into());
        let next = venues.last().filter(|_| more).map(|last| (last.created_at, last.venue_id));
        Ok(VenuePage { venues, next })
    }

    /// The page, and the venue after it if there is one.
    async fn venue_rows(
        &self,
        name: Option<&str>,
        after: Option<VenueCursor>,
        page_size: u16,
    ) -> Result<Vec<Venue>, DatabaseError> {
        let limit = i64::from(page_size) + 1;
        let (created_at, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
        match name {
            None => {
                let all = || sqlx::query_file_as!(Venue, "src/venues/list.sql", created_at, id, limit);
                self.database.fetch_all(all).await
            }
            Some(name) => {
                let named = || sqlx::query_file_as!(Venue, "src/venues/list_by_name.sql", created_at, id, limit, name);
                self.database.fetch_all(named).await
            }
        }
    }
}
