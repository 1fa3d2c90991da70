use teppan_shared::contract::booking::v1::SetWeeklyScheduleResponse;
use teppan_tests::{fixtures, harness::Booking};

const DAYS: i32 = 229;
/// From 00:00 to 18:00, every five minutes.
const STARTS: i32 = 217;

fn counts(done: &SetWeeklyScheduleResponse) -> [i32; 4] {
    [done.slots_created, done.slots_updated, done.slots_closed, done.slots_unchanged]
}

/// A statement whose time grew with the square of the number of slots would hit its timeout.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_schedule_is_set_and_replaced_in_time() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue_with(&mut booking.clients, 4, |venue| venue.horizon_days = Some(DAYS - 1)).await;
    let mut dense = fixtures::every_evening(&venue.expect("a venue").venue_id, 4);
    dense.periods[0].first_start = "00:00".to_owned();
    dense.periods[0].interval_minutes = 5;
    let mut other = dense.clone();
    other.periods[0].first_start = "00:02".to_owned();

    // A change of the clock skips only a few hours.
    let most = DAYS * (STARTS - 1) - 50;
    let mut clients = booking.clients.clone();
    let mut set = async |schedule: &_| {
        clients.schedule.set_weekly_schedule(Clone::clone(schedule)).await.expect("set in time").into_inner()
    };
    let [created, updated, closed, unchanged] = counts(&set(&dense).await);
    assert!(created > most && (updated, closed, unchanged) == (0, 0, DAYS), "{created}");
    let again = set(&dense).await;
    assert_eq!(counts(&again), [0, 0, 0, created + DAYS]);
    let [created, updated, closed, unchanged] = counts(&set(&other).await);
    assert!(created > most && (updated, unchanged) == (0, 0));
    assert_eq!(closed, again.slots_unchanged);
    assert_eq!(counts(&set(&dense).await), [0, again.slots_unchanged, created, 0]);
}
