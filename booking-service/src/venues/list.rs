use chrono::{DateTime, Utc};
use serde::Serialize;
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

/// The filters of a list; every given one must match.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct VenueSearch {
    pub name: Option<String>,
    /// The beginning of the name, in upper or lower case.
    pub name_prefix: Option<String>,
    /// In upper or lower case.
    pub place: Option<String>,
    /// The venue must have all of them.
    pub tags: Vec<String>,
    pub time_zone: Option<String>,
}

impl VenueSearch {
    /// The given filter that probably matches the fewest venues, by its name in `search.sql`.
    fn most_selective(&self) -> Option<&'static str> {
        let given = [
            ("name", self.name.is_some()),
            ("name_prefix", self.name_prefix.is_some()),
            ("place", self.place.is_some()),
            ("tags", !self.tags.is_empty()),
            ("time_zone", self.time_zone.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(filter, _)| filter)
    }

    /// The name, if no other filter is given.
    pub fn only_name(&self) -> Option<&str> {
        let only_name = Self { name: self.name.clone(), ..Self::default() };
        self.name.as_deref().filter(|_| *self == only_name)
    }
}

impl Venues {
    /// Lists venues in order of creation, after the cursor position.
    pub async fn list_venues(
        &self,
        search: &VenueSearch,
        after: Option<VenueCursor>,
        page_size: u16,
    ) -> Result<VenuePage, DatabaseError> {
        let mut venues = self.venue_rows(search, after, page_size).await?;
        let more = venues.len() > page_size.into();
        venues.truncate(page_size.into());
        let next = venues.last().filter(|_| more).map(|last| (last.created_at, last.venue_id));
        Ok(VenuePage { venues, next })
    }

    /// The page, and the venue after it if there is one.
    async fn venue_rows(
        &self,
        search: &VenueSearch,
        after: Option<VenueCursor>,
        page_size: u16,
    ) -> Result<Vec<Venue>, DatabaseError> {
        let limit = i64::from(page_size) + 1;
        let (created_at, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
        let Some(most_selective) = search.most_selective() else {
            let all = || sqlx::query_file_as!(Venue, "src/venues/list.sql", created_at, id, limit);
            return self.database.fetch_all(all).await;
        };
        if let Some(name) = search.only_name() {
            let named = || sqlx::query_file_as!(Venue, "src/venues/list_by_name.sql", created_at, id, limit, name);
            return self.database.fetch_all(named).await;
        }
        let matching = || {
            sqlx::query_file_as!(
                Venue,
                "src/venues/search.sql",
                created_at,
                id,
                limit,
                search.name.as_deref(),
                search.name_prefix.as_deref(),
                search.place.as_deref(),
                Some(search.tags.as_slice()).filter(|tags| !tags.is_empty()),
                search.time_zone.as_deref(),
                most_selective,
            )
        };
        self.database.fetch_all(matching).await
    }
}
