//! The lines to try with grpcurl, from a first look to a refused request.

use std::net::SocketAddr;

use chrono::{Datelike as _, Days, NaiveDate, Utc, Weekday};
use uuid::Uuid;

use crate::surroundings;

/// The lines, each with a description. They build on one another, in one shell.
pub fn lines(booking: SocketAddr, conversation: SocketAddr) -> Vec<(&'static str, String)> {
    let call =
        |address: SocketAddr, method: &str, json: &str| format!("grpcurl -plaintext -d {json} {address} {method}");
    let schedule =
        |method: &str, json: &str| call(booking, &format!("teppan.booking.v1.ScheduleService/{method}"), json);
    let bookings =
        |method: &str, json: &str| call(booking, &format!("teppan.booking.v1.BookingService/{method}"), json);
    let book = |json: &str| bookings("CreateBooking", json);
    let talk = |method: &str, json: &str| {
        call(conversation, &format!("teppan.conversation.v1.ConversationService/{method}"), json)
    };

    // New keys at each start: the data is kept, so old keys would only replay.
    let run = &Uuid::new_v4().simple().to_string()[..8];
    let date = tuesday();
    let create_venue = schedule(
        "CreateVenue",
        &format!(
            r#"'{{"idempotency_key": "try-{run}-venue", "name": "Teppan Terrace", "time_zone": "Europe/Berlin"}}'"#
        ),
    );
    let valid = format!(
        concat!(
            r#"'{{"idempotency_key": "try-{run}-booking", "venue_id": "'"$VENUE"'", "date": "{date}", "start_time": "18:00", "#,
            r#""party_size": 4, "contact": {{"name": "Mina Sato", "email": "mina.sato@example.org"}}, "#,
            r#""conversation_id": "try-{run}"}}'"#,
        ),
        run = run,
        date = date,
    );
    let mut lines =
        Vec::from_iter(surroundings::path_line().map(|line| ("The grpcurl that set-up has installed", line)));
    lines.extend([
        ("What booking-service serves", format!("grpcurl -plaintext {booking} list")),
        ("Whether it is ready", format!("grpcurl -plaintext {booking} grpc.health.v1.Health/Check")),
        ("A venue, its id kept in VENUE", keep("VENUE", "venueId", &create_venue)),
        (
            "Its weekly schedule: every half hour from 17:00 to 20:00, Tuesday to Saturday, 20 seats, 35.00 EUR a person",
            schedule(
                "SetWeeklySchedule",
                concat!(
                    r#"'{"venue_id": "'"$VENUE"'", "periods": [{"days": ["WEEKDAY_TUESDAY", "WEEKDAY_WEDNESDAY", "#,
                    r#""WEEKDAY_THURSDAY", "WEEKDAY_FRIDAY", "WEEKDAY_SATURDAY"], "first_start": "17:00", "#,
                    r#""last_start": "20:00", "capacity": 20, "price_per_person_cents": 3500}]}'"#,
                ),
            ),
        ),
        (
            "The open slots on a Tuesday in about two weeks",
            schedule(
                "ListAvailability",
                &format!(
                    r#"'{{"venue_id": "'"$VENUE"'", "from_date": "{date}", "to_date": "{date}", "party_size": 4}}'"#
                ),
            ),
        ),
        ("A booking", book(&valid)),
        (
            "The same again: the same booking, \"replayed\": true; its id kept in BOOKING",
            keep("BOOKING", "bookingId", &book(&valid)),
        ),
        (
            "An invalid one: all violations at once, and grpcurl ends with an error code",
            book(r#"'{"venue_id": "'"$VENUE"'", "date": "tomorrow", "start_time": "6 pm", "party_size": 99}'"#),
        ),
    ]);
    lines.extend(life_of_a_booking(
        &bookings,
        &|json| call(booking, "teppan.booking.v1.PaymentService/RecordPayment", json),
        &|json| call(conversation, "teppan.conversation.v1.FollowUpService/ListFollowUps", json),
        run,
    ));
    lines.extend(a_full_slot(&bookings, run, date));
    lines.extend([
        (
            "A message of the conversation",
            talk(
                "StoreMessage",
                &format!(
                    concat!(
                        r#"'{{"conversation_id": "try-{run}", "message_id": "{message}", "role": "ROLE_USER", "#,
                        r#""channel": "CHANNEL_WEB", "content": "A table for four on Tuesday at six, please.", "#,
                        r#""emotion": {{"score": 0.8, "label": "joy"}}}}'"#,
                    ),
                    run = run,
                    message = Uuid::new_v4(),
                ),
            ),
        ),
        ("Read back", talk("ListMessages", &format!(r#"'{{"conversation_id": "try-{run}"}}'"#))),
    ]);
    lines.extend(surroundings::nats_line());
    lines.extend(surroundings::database_lines());
    lines
}

/// Changes of the booking in BOOKING.
fn life_of_a_booking(
    bookings: &impl Fn(&str, &str) -> String,
    pay: &impl Fn(&str) -> String,
    follow_ups: &impl Fn(&str) -> String,
    run: &str,
) -> [(&'static str, String); 5] {
    let of_it = |fields: &str| format!(r#"'{{"booking_id": "'"$BOOKING"'"{fields}}}'"#);
    [
        (
            "Its deposit, paid in cash: the booking is confirmed",
            pay(&of_it(&format!(
                concat!(
                    r#", "idempotency_key": "try-{run}-deposit", "method": "PAYMENT_METHOD_CASH", "#,
                    r#""amount_cents": 3500, "currency": "EUR""#,
                ),
                run = run,
            ))),
        ),
        (
            "Moved by an hour, for five",
            bookings("RescheduleBooking", &of_it(r#", "start_time": "19:00", "party_size": 5"#)),
        ),
        (
            "The messages to the guest, and their times: the follow-ups of the booking's conversation",
            follow_ups(&format!(r#"'{{"conversation_id": "try-{run}"}}'"#)),
        ),
        ("Cancelled: refundDueCents is owed back, and follow-ups are cancelled", bookings("CancelBooking", &of_it(""))),
        ("All its events", bookings("StreamBookingEvents", &of_it(""))),
    ]
}

/// A fully booked slot, and its waitlist.
fn a_full_slot(bookings: &impl Fn(&str, &str) -> String, run: &str, date: NaiveDate) -> [(&'static str, String); 2] {
    let party = |key: &str, party_size: i32, name: &str, email: &str| {
        format!(
            concat!(
                r#"'{{"idempotency_key": "try-{run}-{key}", "venue_id": "'"$VENUE"'", "date": "{date}", "#,
                r#""start_time": "20:00", "party_size": {party_size}, "#,
                r#""contact": {{"name": "{name}", "email": "{email}"}}}}'"#,
            ),
            run = run,
            key = key,
            date = date,
            party_size = party_size,
            name = name,
            email = email,
        )
    };
    [
        (
            "All 20 seats of a later slot",
            bookings("CreateBooking", &party("full", 20, "Jonas Weber", "jonas.weber@example.org")),
        ),
        (
            "Joining its waitlist: freed seats are offered as a booking, which ListWaitlist shows",
            bookings("JoinWaitlist", &party("waitlist", 2, "Mina Sato", "mina.sato@example.org")),
        ),
    ]
}

/// A call whose answer is printed, and whose id is kept in a variable.
fn keep(variable: &str, field: &str, call: &str) -> String {
    format!(
        r#"ANSWER=$({call}); echo "$ANSWER"; {variable}=$(echo "$ANSWER" | sed -n 's/.*"{field}": "\(.*\)".*/\1/p')"#
    )
}

/// A Tuesday, two to three weeks ahead.
fn tuesday() -> NaiveDate {
    let fortnight = Utc::now().date_naive() + Days::new(14);
    fortnight + Days::new(Weekday::Tue.days_since(fortnight.weekday()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_to_try_is_a_tuesday_within_every_venues_horizon() {
        let ahead = (tuesday() - Utc::now().date_naive()).num_days();
        assert_eq!(tuesday().weekday(), Weekday::Tue);
        assert!((14..=21).contains(&ahead), "{ahead}");
    }
}
