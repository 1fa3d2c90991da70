//! The lines to try: grpcurl, by hand, from a first look to a refused request.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use chrono::{Datelike as _, Days, NaiveDate, Utc, Weekday};
use uuid::Uuid;

/// Each line with what it shows. They build on one another, in one shell.
pub fn lines(booking: SocketAddr, conversation: SocketAddr) -> Vec<(&'static str, String)> {
    let program = grpcurl();
    let call =
        |address: SocketAddr, method: &str, json: &str| format!("{program} -plaintext -d {json} {address} {method}");
    let schedule =
        |method: &str, json: &str| call(booking, &format!("teppan.booking.v1.ScheduleService/{method}"), json);
    let bookings =
        |method: &str, json: &str| call(booking, &format!("teppan.booking.v1.BookingService/{method}"), json);
    let book = |json: &str| bookings("CreateBooking", json);
    let talk = |method: &str, json: &str| {
        call(conversation, &format!("teppan.conversation.v1.ConversationService/{method}"), json)
    };

    // New keys at each start: the data is kept, and an old key would only replay.
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
    let mut lines = vec![
        ("What booking-service serves", format!("{program} -plaintext {booking} list")),
        ("Whether it is ready", format!("{program} -plaintext {booking} grpc.health.v1.Health/Check")),
        (
            "A venue, its id kept in VENUE",
            format!(r#"VENUE=$({create_venue} | sed -n 's/.*"venueId": "\(.*\)".*/\1/p'); echo "venue $VENUE""#),
        ),
        (
            "Its week: every half hour from 17:00 to 20:00, Tuesday to Saturday, 20 seats, 35.00 EUR a person",
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
            "What is open on a Tuesday in about two weeks",
            schedule(
                "ListAvailability",
                &format!(
                    r#"'{{"venue_id": "'"$VENUE"'", "from_date": "{date}", "to_date": "{date}", "party_size": 4}}'"#
                ),
            ),
        ),
        ("A booking", book(&valid)),
        (
            "The same again: the same booking, replayed, its id kept in BOOKING",
            format!(
                r#"BOOKING=$({} | sed -n 's/.*"bookingId": "\(.*\)".*/\1/p'); echo "booking $BOOKING""#,
                book(&valid)
            ),
        ),
        (
            "An invalid one: every violation at once, and grpcurl ends with an error code",
            book(r#"'{"venue_id": "'"$VENUE"'", "date": "tomorrow", "start_time": "6 pm", "party_size": 99}'"#),
        ),
    ];
    lines.extend(life_of_a_booking(
        &bookings,
        &|json| call(booking, "teppan.booking.v1.PaymentService/RecordPayment", json),
        run,
    ));
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
    lines
}

/// What becomes of the booking in BOOKING.
fn life_of_a_booking(
    bookings: &impl Fn(&str, &str) -> String,
    pay: &impl Fn(&str) -> String,
    run: &str,
) -> [(&'static str, String); 4] {
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
        ("Given up: refundDueCents is owed back", bookings("CancelBooking", &of_it(""))),
        ("Everything that happened to it", bookings("StreamBookingEvents", &of_it(""))),
    ]
}

/// The grpcurl that set-up brought, else the one on the PATH, as a shell reads it.
fn grpcurl() -> String {
    let home = std::env::var_os("TEPPAN_HOME").map_or_else(|| PathBuf::from(".teppan"), PathBuf::from);
    let brought = home.join("tools/bin/grpcurl");
    if !brought.is_file() {
        return "grpcurl".to_owned();
    }
    // The other terminal may be in another folder.
    quoted(&std::path::absolute(&brought).unwrap_or(brought))
}

/// A path that a shell takes as one word.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    if path.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c)) {
        return path.into_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
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

    #[test]
    fn a_path_with_a_space_stays_one_word() {
        assert_eq!(quoted(Path::new("/opt/grpcurl")), "/opt/grpcurl");
        assert_eq!(quoted(Path::new("/my tools/it's")), r"'/my tools/it'\''s'");
    }
}
