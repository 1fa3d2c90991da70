use teppan_shared::{fingerprint::optional, postgres::DatabaseError, sealing::Hashes, time_zone::Rules};

use crate::{
    domain::{NewVenue, PhoneRegion, ReminderMinutes, UNDO_MINUTES_DEFAULT, VenueId},
    venues::Venues,
    venues::get::Venue,
};

/// A faster concurrent duplicate makes the statement fail once; the next run reads its venue.
const ATTEMPTS_MAX: usize = 3;

/// A venue, and whether an earlier call with the same key created it.
pub struct CreatedVenue {
    pub venue: Venue,
    pub replayed: bool,
}

/// Why there is no venue. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum CreateVenueError {
    #[error("the key was used for another request")]
    KeyReused,
    #[error("every attempt lost against a concurrent duplicate")]
    Contended,
    #[error("the database gave no answer")]
    Database(#[source] DatabaseError),
}

impl Venues {
    /// Creates a venue. A second call with the same key and request returns the venue of the first call.
    ///
    /// # Errors
    /// [`CreateVenueError`].
    pub async fn create_venue(&self, new: &NewVenue) -> Result<CreatedVenue, CreateVenueError> {
        let fingerprint = self.venue_fingerprint(new);
        let id = VenueId::generate();
        for _ in 0..ATTEMPTS_MAX {
            match self.insert_venue(new, id, fingerprint.newest()).await {
                Ok((venue, None)) => return Ok(CreatedVenue { venue, replayed: false }),
                // With this call's id, an earlier run of this call created the venue, and its answer was lost.
                Ok((venue, Some(first))) if fingerprint.matches(&first) => {
                    let replayed = venue.venue_id != id.0;
                    return Ok(CreatedVenue { venue, replayed });
                }
                Ok(_) => return Err(CreateVenueError::KeyReused),
                // A concurrent duplicate, or an earlier run of this call, was faster; the next run reads its venue.
                Err(error) if error.violates("idempotency_keys_pkey") || error.violates("venues_pkey") => {}
                Err(error) => return Err(CreateVenueError::Database(error)),
            }
        }
        Err(CreateVenueError::Contended)
    }

    fn venue_fingerprint(&self, new: &NewVenue) -> Hashes {
        let figures = [
            new.min_party_size,
            new.max_party_size,
            new.notice_minutes,
            new.horizon_days,
            new.hold_minutes,
            new.deposit_percent,
            new.full_refund_hours,
            new.late_refund_percent,
            new.waitlist_hold_minutes,
        ]
        .map(i32::to_be_bytes);
        // Requests without the field have the fingerprint that replicas of 0.1.0 compute.
        let undo_minutes = (new.undo_minutes != UNDO_MINUTES_DEFAULT).then(|| new.undo_minutes.to_be_bytes());
        let minutes: Vec<u8> = new.reminders.as_slice().iter().flat_map(|minutes| minutes.to_be_bytes()).collect();
        let phone_region = optional(new.phone_region.map(|region| region.to_string()));
        let fields = [
            b"CreateVenue".as_slice(),
            new.name.as_str().as_bytes(),
            new.time_zone.name().as_bytes(),
            new.currency.code().as_bytes(),
            figures.as_flattened(),
            // As given, without the default: the setting of the default may change before the call is repeated.
            &phone_region,
        ];
        // Only what is given: requests without them have the fingerprints that earlier versions have stored.
        let tags = new.tags.as_slice();
        let tags_count = [u8::try_from(tags.len()).unwrap_or(u8::MAX)];
        let tags_label = Some([b"tags".as_slice(), &tags_count]).filter(|_| !tags.is_empty());
        let tags = tags_label.into_iter().flatten().chain(tags.iter().map(String::as_bytes));
        let place = Some(new.place.as_str()).filter(|place| !place.is_empty());
        let place = place.iter().flat_map(|place| [b"place".as_slice(), place.as_bytes()]);
        let undo_minutes = undo_minutes.iter().flat_map(|minutes| [b"undo".as_slice(), minutes]);
        let reminders = [b"reminders".as_slice(), &minutes].into_iter();
        let reminders = reminders.filter(|_| new.reminders != ReminderMinutes::default());
        let charges = [
            new.deposit_per_person_cents,
            new.deposit_fixed_cents,
            new.deposit_min_party_size.into(),
            new.minimum_spend_cents,
            new.no_show_fee_per_person_cents,
        ];
        let charges_bytes = charges.map(i64::to_be_bytes);
        let charges = [b"charges".as_slice(), charges_bytes.as_flattened()].into_iter().filter(|_| charges != [0; 5]);
        let fields = fields.into_iter().chain(tags).chain(place).chain(undo_minutes).chain(reminders).chain(charges);
        self.fingerprint.hash(fields)
    }

    /// The phone region of a new venue: the given one, that of its time zone, or the service's default.
    fn phone_region_of(&self, new: &NewVenue) -> PhoneRegion {
        let of_zone = || PhoneRegion::of_zone(new.time_zone.name());
        new.phone_region.or_else(of_zone).unwrap_or(self.default_phone_region)
    }

    /// The venue, and the fingerprint of the earlier call if an earlier call created it.
    async fn insert_venue(
        &self,
        new: &NewVenue,
        id: VenueId,
        fingerprint: &[u8],
    ) -> Result<(Venue, Option<Vec<u8>>), DatabaseError> {
        let now = self.clock.now();
        let phone_region = self.phone_region_of(new).to_string();
        let clock = new.time_zone.clock_from(now);
        let row = self
            .database
            .fetch_one(|| {
                sqlx::query_file!(
                    "src/venues/create.sql",
                    new.key.as_str(),
                    fingerprint,
                    id.0,
                    new.name.as_str(),
                    new.time_zone.name(),
                    new.currency.code(),
                    new.min_party_size,
                    new.max_party_size,
                    new.notice_minutes,
                    new.horizon_days,
                    new.hold_minutes,
                    new.deposit_percent,
                    new.full_refund_hours,
                    new.late_refund_percent,
                    new.waitlist_hold_minutes,
                    now,
                    phone_region,
                    clock.offset_seconds,
                    clock.changes_at,
                    clock.next_offset_seconds,
                    Rules::in_force().version().as_str(),
                    new.tags.as_slice(),
                    new.place.as_str(),
                    new.undo_minutes,
                    new.reminders.as_slice(),
                    new.deposit_per_person_cents,
                    new.deposit_fixed_cents,
                    new.deposit_min_party_size,
                    new.minimum_spend_cents,
                    new.no_show_fee_per_person_cents,
                )
            })
            .await?;
        let venue = Venue {
            venue_id: row.venue_id,
            name: row.name,
            time_zone: row.time_zone,
            currency: row.currency,
            min_party_size: row.min_party_size,
            max_party_size: row.max_party_size,
            notice_minutes: row.notice_minutes,
            horizon_days: row.horizon_days,
            hold_minutes: row.hold_minutes,
            deposit_percent: row.deposit_percent,
            full_refund_hours: row.full_refund_hours,
            late_refund_percent: row.late_refund_percent,
            waitlist_hold_minutes: row.waitlist_hold_minutes,
            undo_minutes: row.undo_minutes,
            phone_region: row.phone_region,
            tags: row.tags,
            place: row.place,
            reminder_minutes: row.reminder_minutes,
            deposit_per_person_cents: row.deposit_per_person_cents,
            deposit_fixed_cents: row.deposit_fixed_cents,
            deposit_min_party_size: row.deposit_min_party_size,
            minimum_spend_cents: row.minimum_spend_cents,
            no_show_fee_per_person_cents: row.no_show_fee_per_person_cents,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok((venue, row.fingerprint))
    }
}
