use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{
    contract::events::v1::{self as wire, BookingField},
    read_error::Corrupted,
};

use super::{
    booking::OpenBooking,
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    decision::{Decision, Occasion},
    details::BookingDetails,
    event_data::{EventData, timestamp},
    load::{Loaded, Wanted},
};
use crate::{
    bookings::Bookings,
    domain::{
        BookingChange, BookingStatus, ChangeRefusal, Email, Etag, GivenPhone, Name, Occupancy, PartyNotes, PhoneRegion,
        Refusal, SpecialRequests, StripeIntentId, Tags, VenueNotes,
    },
};

/// The longest visit.
const VISIT_MAX: TimeDelta = TimeDelta::hours(24);

/// The fields of a booking to change. `None`: the field stays. `Some(None)`: it is emptied.
#[derive(Clone, Default)]
pub struct BookingUpdate {
    pub name: Option<Name>,
    pub email: Option<Option<Email>>,
    pub phone: Option<Option<GivenPhone>>,
    pub special_requests: Option<Option<SpecialRequests>>,
    pub venue_notes: Option<Option<VenueNotes>>,
    pub party_notes: Option<Option<PartyNotes>>,
    pub tags: Option<Tags>,
    pub stripe_intent_id: Option<Option<StripeIntentId>>,
    /// When the party leaves.
    pub ends_at: Option<DateTime<Utc>>,
}

impl Bookings {
    /// Changes the contact, wishes, notes, tags, intent and end of a booking. The old values are gone: the event names
    /// only the fields, and the row has the new sealed value.
    ///
    /// An erasure that commits first leaves the change without an effect, because the commit compares `erased_at` of
    /// the locked row; one that commits later empties the new value.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn update_booking(
        &self,
        target: &BookingTarget,
        change: &BookingUpdate,
    ) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let update = |loaded: &Loaded| {
            let details = loaded.booking.details(&self.ring).map_err(NoChange::Corrupted)?;
            let (mut decision, details) = decide(loaded, details.as_ref(), target.etag, change, &occasion)?;
            decision.reseal(details.seal(&self.ring, loaded.booking.booking_id));
            Ok(decision)
        };
        self.change(BookingChange::Update, target, &occasion, Wanted::default(), update).await
    }
}

/// The decision, and the details to be sealed with it.
pub fn decide(
    loaded: &Loaded,
    details: Option<&BookingDetails>,
    etag: Option<Etag>,
    change: &BookingUpdate,
    occasion: &Occasion,
) -> Result<(Decision, BookingDetails), NoChange> {
    let before = details.ok_or(NoChange::Refused(ChangeRefusal::Erased))?;
    let region = PhoneRegion::parse(&loaded.venue.phone_region)
        .map_err(|_| NoChange::Corrupted(Corrupted::Column("venues.phone_region")))?;
    let after = change.applied_to(before, region).map_err(NoChange::Refused)?;
    let ends_at = change.ends_at.filter(|at| *at != loaded.booking.ends_at);
    let mut changed = changed_fields(before, &after);
    changed.extend(ends_at.map(|_| BookingField::EndsAt));
    changed.sort_unstable();
    if changed.is_empty() {
        return Err(NoChange::Unchanged);
    }
    allow(&loaded.booking, etag, BookingChange::Update)?;
    // A walk-in may have no contact from the start.
    let is_reachable = |details: &BookingDetails| details.contact.email.is_some() || details.contact.phone.is_some();
    if is_reachable(before) && !is_reachable(&after) {
        return Err(NoChange::Refused(ChangeRefusal::Unreachable));
    }
    let visit = ends_at.map(|ends_at| visit_until(loaded, ends_at)).transpose().map_err(NoChange::Refused)?;
    let mut decision = Decision::about(&loaded.booking, occasion);
    // Once a visit is over, SetFloor may remove its area. Then nothing is counted there.
    let floor = loaded.floor.as_ref().map(|state| &state.floor);
    let moves_seats = floor.is_none_or(|floor| floor.area(loaded.booking.area.as_deref()).is_some());
    if visit.is_some() && moves_seats {
        decision.free_seats();
    }
    decision.apply(EventData::BookingUpdated(wire::BookingUpdated {
        changed_fields: changed.into_iter().map(Into::into).collect(),
        ends_at: visit.and_then(|(ends_at, _)| timestamp(ends_at)),
        occupied_until: visit.and_then(|(_, until)| until).and_then(timestamp),
        ..Default::default()
    }))?;
    match visit {
        Some((ends_at, _)) if moves_seats && ends_at < loaded.booking.ends_at => decision.keep_seats_on(floor),
        Some(_) if moves_seats => decision.retake_seats(),
        _ => {}
    }
    Ok((decision, after))
}

/// The end of a booking's visit, and until when it takes the seats of its area, if it has one.
type Visit = (DateTime<Utc>, Option<DateTime<Utc>>);

/// The visit with another end: as long as it takes seats, for up to a day, and if its area has the seats for the longer
/// time.
fn visit_until(loaded: &Loaded, ends_at: DateTime<Utc>) -> Result<Visit, ChangeRefusal> {
    let booking = &loaded.booking;
    if !matches!(booking.status, BookingStatus::Pending | BookingStatus::Confirmed) {
        return Err(ChangeRefusal::NotAllowed);
    }
    if ends_at <= booking.starts_at || ends_at > booking.starts_at + VISIT_MAX {
        return Err(ChangeRefusal::EndOutOfRange);
    }
    let turn = booking.occupied_until.map(|until| until - booking.ends_at);
    let until = ends_at + turn.unwrap_or_default();
    let own = booking.occupancy();
    let has_seats = loaded.floor.as_ref().is_none_or(|floor| {
        let floor = floor.after(&own, -booking.party_size);
        floor.has_room(&Occupancy { until, ..own }, booking.party_size)
    });
    // A shorter visit takes no seats that the booking does not have.
    if !has_seats && ends_at > booking.ends_at {
        let full = Refusal::AreaFull { open_seats: 0 };
        return Err(ChangeRefusal::Slot(booking.slot(), full));
    }
    Ok((ends_at, turn.map(|_| until)))
}

impl BookingUpdate {
    fn applied_to(&self, before: &BookingDetails, region: PhoneRegion) -> Result<BookingDetails, ChangeRefusal> {
        let mut details = before.clone();
        let contact = &mut details.contact;
        if let Some(name) = &self.name {
            name.as_str().clone_into(&mut contact.name);
        }
        if let Some(email) = &self.email {
            contact.email = email.as_ref().map(|email| email.as_str().to_owned());
        }
        if let Some(phone) = &self.phone {
            let phone = phone.as_ref().map(|phone| phone.read(region)).transpose().map_err(ChangeRefusal::Phone)?;
            contact.phone = phone.map(|phone| phone.as_str().to_owned());
        }
        if let Some(special_requests) = &self.special_requests {
            details.special_requests = special_requests.as_ref().map(|text| text.as_str().to_owned());
        }
        if let Some(venue_notes) = &self.venue_notes {
            details.venue_notes = venue_notes.as_ref().map(|text| text.as_str().to_owned());
        }
        if let Some(party_notes) = &self.party_notes {
            details.party_notes = party_notes.as_ref().map(|text| text.as_str().to_owned());
        }
        if let Some(stripe_intent_id) = &self.stripe_intent_id {
            details = details.with_intent(stripe_intent_id.as_ref());
        }
        if let Some(tags) = &self.tags {
            details.tags = tags.as_slice().to_vec();
        }
        Ok(details)
    }
}

/// The fields with different values.
fn changed_fields(before: &BookingDetails, after: &BookingDetails) -> Vec<BookingField> {
    let differs = [
        (BookingField::ContactName, before.contact.name != after.contact.name),
        (BookingField::ContactEmail, before.contact.email != after.contact.email),
        (BookingField::ContactPhone, before.contact.phone != after.contact.phone),
        (BookingField::SpecialRequests, before.special_requests != after.special_requests),
        (BookingField::VenueNotes, before.venue_notes != after.venue_notes),
        (BookingField::PartyNotes, before.party_notes != after.party_notes),
        (BookingField::Tags, before.tags != after.tags),
        (BookingField::StripeIntentId, before.stripe_intent_id != after.stripe_intent_id),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

#[cfg(test)]
mod tests {
    use sqlx::types::Json;

    use super::{
        super::fixtures::{assert_sound, booking_in_status, confirmed_booking, events, occasion},
        *,
    };
    use crate::{
        customers::contact::StoredContact,
        domain::{Area, AreaKey, Floor, FloorState, Table, TableKey},
    };

    fn details() -> BookingDetails {
        let contact = StoredContact {
            name: "Ada".to_owned(),
            email: Some("ada@example.org".to_owned()),
            phone: Some("+4930123456".to_owned()),
        };
        BookingDetails::new(&contact, SpecialRequests::parse("Window".to_owned()).ok().as_ref())
    }

    fn refused(details: Option<&BookingDetails>, etag: Option<Etag>, change: &BookingUpdate) -> NoChange {
        match decide(&confirmed_booking(), details, etag, change, &occasion(10)) {
            Ok(_) => panic!("it is changed"),
            Err(refused) => refused,
        }
    }

    #[test]
    fn the_event_names_the_changed_fields_and_nothing_else_of_the_booking_changes() {
        let change = BookingUpdate {
            name: Name::parse("Ada").ok(),
            phone: Some(GivenPhone::parse("030 654321").ok()),
            special_requests: Some(None),
            party_notes: Some(PartyNotes::parse("1 high chair".to_owned()).ok()),
            tags: Tags::parse(&["birthday".to_owned()]).ok(),
            ..BookingUpdate::default()
        };
        for status in BookingStatus::ALL {
            let mut loaded = booking_in_status(*status);
            if *status == BookingStatus::Pending {
                loaded = super::super::fixtures::pending_booking();
            }
            let decided = decide(&loaded, Some(&details()), None, &change, &occasion(10));
            let Ok((decision, after)) = decided else { panic!("{status:?}") };
            assert_sound(Some(&loaded.booking), &decision);
            assert_eq!((decision.booking.status, decision.seats.len()), (*status, 0));
            let [EventData::BookingUpdated(event)] = &events(&decision)[..] else { panic!("one event") };
            let changed: Vec<_> = event.changed_fields().map(|field| field as i32).collect();
            assert_eq!(changed, [3, 4, 6, 7], "phone, requests, party notes and tags, in status {status:?}");
            assert_eq!(after.contact.phone.as_deref(), Some("+4930654321"), "by the venue's region");
            assert!(after.special_requests.is_none() && after.tags == ["birthday"]);
            assert!(!decision.events[0].concerns_conversation);
        }
    }

    #[test]
    fn a_change_to_the_present_values_is_not_committed_also_with_an_old_etag() {
        let same = BookingUpdate { name: Name::parse(" Ada ").ok(), ..BookingUpdate::default() };
        assert_eq!(refused(Some(&details()), Some(Etag::of(1)), &same), NoChange::Unchanged);
        let other = BookingUpdate { name: Name::parse("Bea").ok(), ..BookingUpdate::default() };
        assert_eq!(refused(Some(&details()), Some(Etag::of(1)), &other), NoChange::StaleEtag);
    }

    #[test]
    fn an_erased_booking_gets_no_data_and_a_contact_stays_reachable() {
        let change = BookingUpdate { email: Some(None), phone: Some(None), ..BookingUpdate::default() };
        assert_eq!(refused(None, None, &change), NoChange::Refused(ChangeRefusal::Erased));
        assert_eq!(refused(Some(&details()), None, &change), NoChange::Refused(ChangeRefusal::Unreachable));
        let phone = GivenPhone::parse("030 1").ok();
        let change = BookingUpdate { phone: Some(phone), ..BookingUpdate::default() };
        let NoChange::Refused(ChangeRefusal::Phone(_)) = refused(Some(&details()), None, &change) else {
            panic!("the number is too short")
        };
    }

    #[test]
    fn an_earlier_end_keeps_only_what_the_floor_still_has() {
        let mut loaded = confirmed_booking();
        let booking = &mut loaded.booking;
        (booking.area, booking.occupied_until) = (Some("main".to_owned()), Some(booking.ends_at));
        booking.tables = Some(vec!["T1".to_owned(), "T2".to_owned()]);
        let earlier =
            BookingUpdate { ends_at: Some(booking.ends_at - TimeDelta::minutes(30)), ..BookingUpdate::default() };
        let kept = |area: &str| {
            let table = TableKey::parse("T2").expect("a key");
            let tables = vec![Table { table, min_party_size: 1, max_party_size: 4 }];
            let area = Area::new(AreaKey::parse(area).expect("a key"), String::new(), None, tables, Vec::new());
            let floor = Floor { tick_minutes: 15, turn_minutes: 0, sittings: Vec::new(), areas: vec![area] };
            let state = FloorState { floor, counts_from: DateTime::UNIX_EPOCH, days: Vec::new() };
            let loaded = Loaded { floor: Some(Json(state)), ..loaded.clone() };
            let (decision, _) = decide(&loaded, Some(&details()), None, &earlier, &occasion(10)).expect("updated");
            decision.seats.into_iter().map(|it| it.occupancy.tables).collect::<Vec<_>>()
        };
        assert_eq!(kept("main"), [vec!["T1".to_owned(), "T2".to_owned()], vec!["T2".to_owned()]]);
        assert!(kept("terrace").is_empty(), "nothing is counted in an area that was removed");
    }

    #[test]
    fn a_walk_in_without_a_contact_gets_notes() {
        let mut walk_in = details();
        (walk_in.contact.email, walk_in.contact.phone) = (None, None);
        let change = BookingUpdate { tags: Tags::parse(&["birthday".to_owned()]).ok(), ..BookingUpdate::default() };
        let decided = decide(&confirmed_booking(), Some(&walk_in), None, &change, &occasion(0));
        assert_eq!(decided.expect("updated").1.tags.len(), 1);
    }
}
