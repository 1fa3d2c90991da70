//! The follow-up calls to conversation-service that follow from the events of a booking.

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use teppan_shared::contract::events::v1::{self as wire, BookingField};

use super::BookingStatus;
use crate::bookings::event_data::{self, EventData, UnreadableEvent};

/// A call to conversation-service that follows from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUpStep {
    /// Schedule the follow-up that asks the customer after the booking's end.
    Schedule {
        conversation_id: String,
        /// Whose consent decides whether it is sent.
        customer_id: String,
        ends_at: DateTime<Utc>,
        time_zone: String,
        /// True: an existing follow-up moves to the new time.
        move_existing: bool,
    },
    /// Schedule it for the booking as it is now, if it is confirmed, because the event does not say enough.
    Follow {
        conversation_id: String,
        /// True: an existing follow-up moves to the booking's end.
        move_existing: bool,
    },
    /// Cancel the follow-up.
    Cancel { conversation_id: String },
}

impl FollowUpStep {
    /// The call that follows from an event of this type with this data; `None` if no call follows.
    ///
    /// # Errors
    /// The data does not match the type.
    pub fn after(kind: &str, json: &str) -> Result<Option<Self>, UnreadableEvent> {
        if !kind.starts_with("teppan.booking.") {
            return Ok(None);
        }
        let event = match event_data::read(kind, json) {
            Err(UnreadableEvent::UnknownType) => return Ok(None),
            event => event?,
        };
        let is_confirmed = event_data::status(event_data::header(&event).status) == Some(BookingStatus::Confirmed);
        if let EventData::BookingUpdated(it) = event {
            let has = |field| it.changed_fields().any(|changed| changed == field);
            let (moves, confirms) = (has(BookingField::EndsAt), has(BookingField::GuestConfirmedAt));
            let concerns = is_confirmed && !it.conversation_id.is_empty() && (moves || confirms);
            return Ok(concerns.then_some(Self::Follow { conversation_id: it.conversation_id, move_existing: moves }));
        }
        let (conversation_id, schedule) = match event {
            EventData::BookingCreated(it) => {
                (it.conversation_id, Some((it.customer_id, it.ends_at, it.time_zone, false)))
            }
            EventData::BookingConfirmed(it) => {
                (it.conversation_id, Some((it.customer_id, it.ends_at, it.time_zone, false)))
            }
            EventData::BookingRescheduled(it) => {
                (it.conversation_id, Some((it.customer_id, it.ends_at, it.time_zone, true)))
            }
            EventData::BookingInstantCorrected(it) => {
                (it.conversation_id, Some((it.customer_id, it.ends_at, it.time_zone, true)))
            }
            // Unless it was completed, its follow-up was cancelled.
            EventData::BookingReinstated(it) if it.previous_status() != wire::BookingStatus::Completed => {
                (it.conversation_id, Some((it.customer_id, it.ends_at, it.time_zone, true)))
            }
            EventData::BookingCancelled(it) => (it.conversation_id, None),
            EventData::BookingExpired(it) => (it.conversation_id, None),
            EventData::BookingNoShow(it) => (it.conversation_id, None),
            _ => return Ok(None),
        };
        // A booking that still waits for its deposit gets no follow-up.
        if conversation_id.is_empty() || (schedule.is_some() && !is_confirmed) {
            return Ok(None);
        }
        let Some((customer_id, ends_at, time_zone, move_existing)) = schedule else {
            return Ok(Some(Self::Cancel { conversation_id }));
        };
        let missing = || serde_json::Error::custom("the end is missing");
        let ends_at = event_data::instant(ends_at.as_ref()).ok_or_else(missing)?;
        Ok(Some(Self::Schedule { conversation_id, customer_id, ends_at, time_zone, move_existing }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CUSTOMER: &str = "01a229a3-3b30-7228-9285-b7f721d32770";

    fn event(status: &str) -> Value {
        json!({
            "booking_id": "01a229a3-3b30-7228-9285-b7f721d32769", "occurred_at": "2026-12-01T09:00:00+00:00",
            "status": format!("BOOKING_STATUS_{status}"), "conversation_id": "chat-7",
            "customer_id": CUSTOMER, "ends_at": "2026-12-05T20:00:00+00:00", "time_zone": "Europe/Berlin",
        })
    }

    fn after(kind: &str, data: &Value) -> Option<FollowUpStep> {
        FollowUpStep::after(&format!("teppan.booking.{kind}.v1"), &data.to_string()).expect("readable")
    }

    #[test]
    fn a_confirmed_booking_gets_a_follow_up_that_moves_with_its_slot() {
        for (kind, moves) in
            [("created", false), ("confirmed", false), ("rescheduled", true), ("instant_corrected", true)]
        {
            let step = FollowUpStep::Schedule {
                conversation_id: "chat-7".to_owned(),
                customer_id: CUSTOMER.to_owned(),
                ends_at: "2026-12-05T20:00:00Z".parse().expect("a time"),
                time_zone: "Europe/Berlin".to_owned(),
                move_existing: moves,
            };
            assert_eq!(after(kind, &event("CONFIRMED")), Some(step), "{kind}");
        }
        assert_eq!(after("created", &event("PENDING")), None);
        assert_eq!(after("rescheduled", &event("PENDING")), None);
        assert_eq!(after("instant_corrected", &event("PENDING")), None);
    }

    #[test]
    fn the_follow_up_of_a_booking_that_does_not_take_place_is_cancelled() {
        let cancel = Some(FollowUpStep::Cancel { conversation_id: "chat-7".to_owned() });
        for (kind, status) in [("cancelled", "CANCELLED"), ("expired", "EXPIRED"), ("no_show", "NO_SHOW")] {
            let mut data = event(status);
            data.as_object_mut()
                .expect("an object")
                .retain(|name, _| !["ends_at", "time_zone", "customer_id"].contains(&name.as_str()));
            assert_eq!(after(kind, &data), cancel, "{kind}");
        }
    }

    #[test]
    fn the_follow_up_of_a_reinstated_booking_is_scheduled_again_if_it_was_cancelled() {
        for (previous, status, schedules) in [
            ("NO_SHOW", "CONFIRMED", true),
            ("CANCELLED", "CONFIRMED", true),
            ("CANCELLED", "PENDING", false),
            ("COMPLETED", "CONFIRMED", false),
        ] {
            let mut data = event(status);
            data["previous_status"] = format!("BOOKING_STATUS_{previous}").into();
            let step = after("reinstated", &data);
            assert_eq!(matches!(step, Some(FollowUpStep::Schedule { .. })), schedules, "{previous}: {step:?}");
            assert!(schedules || step.is_none(), "{previous}: {step:?}");
        }
    }

    #[test]
    fn another_end_moves_the_follow_up_and_a_guest_who_confirms_leaves_it() {
        let updated = |status: &str, fields: &[&str]| {
            let mut data = event(status);
            let fields: Vec<_> = fields.iter().map(|field| format!("BOOKING_FIELD_{field}")).collect();
            data.as_object_mut().expect("an object").retain(|name, _| !["customer_id", "time_zone"].contains(&&**name));
            data["changed_fields"] = fields.into();
            after("updated", &data)
        };
        let follow = |move_existing| Some(FollowUpStep::Follow { conversation_id: "chat-7".to_owned(), move_existing });
        assert_eq!(updated("CONFIRMED", &["TAGS", "ENDS_AT"]), follow(true));
        assert_eq!(updated("CONFIRMED", &["GUEST_CONFIRMED_AT"]), follow(false));
        assert_eq!(updated("CONFIRMED", &["TAGS"]), None);
        assert_eq!(updated("PENDING", &["ENDS_AT"]), None);
    }

    #[test]
    fn an_event_without_a_conversation_or_of_another_type_causes_no_call() {
        let mut without_conversation = event("CONFIRMED");
        without_conversation["conversation_id"] = "".into();
        assert_eq!(after("created", &without_conversation), None);
        assert_eq!(after("completed", &event("COMPLETED")), None);
        assert_eq!(FollowUpStep::after("teppan.payment.recorded.v1", "{}").expect("not read"), None);
    }

    #[test]
    fn event_data_without_a_needed_field_is_unreadable() {
        let mut without_end = event("CONFIRMED");
        without_end["ends_at"] = Value::Null;
        let read = |data: &str| FollowUpStep::after("teppan.booking.created.v1", data);
        assert!(read(&without_end.to_string()).is_err() && read("[]").is_err() && read("").is_err());
    }
}
