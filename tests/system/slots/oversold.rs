use futures::future::join_all;
use teppan_tests::{
    fixtures::{self, SlotUpdate},
    harness::Booking,
};
use tonic::Code;

use super::kind;

/// Invariant: a slot counts the seats of its bookings, and its capacity covers them.
const SLOTS_THAT_MISCOUNT: &str = "
    SELECT count(*) FROM slots s WHERE reserved > capacity OR reserved <> (
        SELECT COALESCE(sum(party_size), 0) FROM bookings b
        WHERE (b.venue_id, b.slot_date, b.start_time) = (s.venue_id, s.slot_date, s.start_time)
          AND b.status IN ('PENDING', 'CONFIRMED'))";

#[tokio::test(flavor = "multi_thread")]
async fn seats_added_and_taken_away_while_32_clients_book_are_never_oversold() {
    let first = Booking::start().await.ready().await;
    let second = Booking::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let venue = fixtures::venue(&mut first.clients.clone(), 10).await.expect("a venue").venue_id;
    let of = |n: usize| if n.is_multiple_of(2) { first.clients.clone() } else { second.clients.clone() };

    let book = (0..32).map(|n| {
        let mut clients = of(n);
        let venue = venue.clone();
        async move {
            let mut sold = 0;
            for _ in 0..4 {
                match clients.bookings.create_booking(fixtures::booking(&venue, 1)).await {
                    Ok(_) => sold += 1,
                    Err(refused) => {
                        assert!(["SLOT_FULL", "SLOT_CLOSED"].contains(&kind(&refused).1.as_str()), "{refused:?}");
                    }
                }
            }
            sold
        }
    });
    let change = (0..4).map(|n| {
        let mut clients = of(n);
        let venue = venue.clone();
        async move {
            for capacity in [40, 12, 25, 8, 30, 20, 16, 50, 18, 22] {
                let request = SlotUpdate {
                    capacity: Some(capacity),
                    closed: Some(n == 3 && capacity == 16),
                    ..SlotUpdate::of(&venue)
                };
                match clients.schedule.update_slot(request).await {
                    Ok(answer) => {
                        let slot = answer.into_inner().slot.expect("the slot");
                        assert!(slot.reserved_seats <= slot.capacity && slot.capacity == capacity, "{slot:?}");
                    }
                    Err(refused) => {
                        assert_eq!(kind(&refused), (Code::FailedPrecondition, "CAPACITY_BELOW_RESERVED".to_owned()));
                    }
                }
            }
        }
    });
    let (sold, _) = tokio::join!(join_all(book), join_all(change));

    let sold: i32 = sold.into_iter().sum();
    assert!(sold >= 10, "{sold}");
    assert_eq!(first.scalar::<i64>("SELECT count(*) FROM bookings").await, i64::from(sold));
    assert_eq!(first.scalar::<i64>(SLOTS_THAT_MISCOUNT).await, 0);
}
