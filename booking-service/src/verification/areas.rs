//! Compares the taken seats of areas with the seats that the live bookings take there.

use chrono::{DateTime, Utc};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{
    domain::VenueId,
    verification::Verification,
    verification::finding::{Finding, MiscountedArea},
};

/// Venues in one page; the statement also reads their upcoming bookings.
const PAGE_SIZE: i64 = 20;

/// A page of verified floors.
#[derive(Debug, Default)]
pub struct AreaPage {
    pub findings: Vec<Finding>,
    /// The venues whose areas are miscounted.
    pub miscounted: Vec<VenueId>,
    /// The last venue of the page; `None` after the last page.
    pub reached: Option<VenueId>,
}

struct Row {
    venue_id: Uuid,
    areas: Vec<String>,
    since: Vec<DateTime<Utc>>,
}

impl Verification {
    /// Verifies the floors of the next page of venues after this one, of one venue or of all. It only reads.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn verify_areas(
        &self,
        after: Option<VenueId>,
        venue_id: Option<VenueId>,
    ) -> Result<AreaPage, DatabaseError> {
        let last = venue_id.map_or(Uuid::max(), |id| id.0);
        let first = venue_id.map_or(Uuid::nil(), |id| Uuid::from_u128(id.0.as_u128().saturating_sub(1)));
        let after = after.map_or(first, |id| id.0);
        let now = self.clock.now();
        let verify = || sqlx::query_file_as!(Row, "src/verification/areas.sql", after, last, PAGE_SIZE, now);
        let rows = self.database.fetch_all(verify).await?;
        let is_full = i64::try_from(rows.len()) == Ok(PAGE_SIZE);
        let reached = rows.last().filter(|_| is_full).map(|row| VenueId(row.venue_id));
        let mut page = AreaPage { reached, ..AreaPage::default() };
        for Row { venue_id, areas, since } in rows {
            if !areas.is_empty() {
                page.miscounted.push(VenueId(venue_id));
            }
            let findings = areas.into_iter().zip(since);
            page.findings
                .extend(findings.map(|(area, since)| Finding::of_area(MiscountedArea { venue_id, area, since })));
        }
        Ok(page)
    }

    /// Counts the seats of a venue's areas again. Returns whether they were counted; another SetFloor counts them too.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn recount_areas(&self, venue_id: VenueId) -> Result<bool, DatabaseError> {
        let now = self.clock.now();
        let recount = || sqlx::query_file!("src/verification/recount_floor.sql", venue_id.0, now.date_naive(), now);
        let row = self.database.fetch_optional(recount).await?;
        Ok(row.is_some_and(|row| row.outcome == "set"))
    }
}
