use chrono::{DateTime, Utc};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{core::Core, get_venue::Venue};

/// Where a page of venues starts: behind the venue made then.
pub type VenueCursor = (DateTime<Utc>, Uuid);

impl Core {
    /// Lists venues by creation, from behind the cursor, at most `limit`; only those of one name
    /// when it is given.
    pub async fn list_venues(
        &self,
        name: Option<&str>,
        after: Option<VenueCursor>,
        limit: i64,
    ) -> Result<Vec<Venue>, DatabaseError> {
        let (created_at, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
        match name {
            None => {
                let all = || sqlx::query_file_as!(Venue, "queries/list_venues.sql", created_at, id, limit);
                self.database.fetch_all(all).await
            }
            Some(name) => {
                let named =
                    || sqlx::query_file_as!(Venue, "queries/list_venues_by_name.sql", created_at, id, limit, name);
                self.database.fetch_all(named).await
            }
        }
    }
}
