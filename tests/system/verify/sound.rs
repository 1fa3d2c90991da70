use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::{join, join_all};
use teppan_tests::fixtures;

use super::{full_house, run, verify};
use crate::changes::{Change, House, act};

#[tokio::test(flavor = "multi_thread")]
async fn bookings_in_every_state_have_no_findings() {
    let house = full_house().await;
    let said = verify(&house.service.url, &[]).await;
    said.assert_sound();
    assert!(said.summary.contains("Verified 13 bookings"), "{}", said.summary);
    assert!(said.summary.contains("bookings/s") && said.summary.contains("0 findings"), "{}", said.summary);

    let venue = verify(&house.service.url, &["--venue", &house.venue_id]).await;
    venue.assert_sound();
    assert!(venue.summary.contains("Verified 13 bookings"), "{}", venue.summary);
    let nowhere = verify(&house.service.url, &["--venue", "00000000-0000-0000-0000-000000000001"]).await;
    nowhere.assert_sound();
    assert!(nowhere.summary.contains("Verified 0 bookings") && nowhere.summary.contains(" 0 slots"));
    let id: String = house.service.scalar("SELECT booking_id::text FROM bookings LIMIT 1").await;
    let one = verify(&house.service.url, &["--booking", &id]).await;
    one.assert_sound();
    assert!(one.summary.contains("Verified 1 bookings"), "{}", one.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_it_is_verified_is_never_a_finding() {
    let house = House::open(60).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(house.book(1).await.booking_id);
    }
    let (over, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let verifying = async {
        let mut looks = 0;
        while looks < 4 || (made.load(Ordering::Relaxed) < 30 && looks < 200) {
            verify(&house.service.url, &[]).await.assert_sound();
            looks += 1;
        }
        over.store(true, Ordering::Relaxed);
    };
    let storm = join_all((0..6).map(|client| {
        let (house, ids, over, made) = (&house, &ids, &over, &made);
        async move {
            let (clients, mut round) = (house.service.clients.clone(), 0_usize);
            while !over.load(Ordering::Relaxed) {
                let id = &ids[(client * 7 + round * 3) % ids.len()];
                let time = ["18:00", "18:30", "19:00"][(client + round) % 3];
                // What is refused is refused: it is crowded.
                let _ = act(&clients, Change::Move(time), id, "").await;
                let size = i32::try_from(1 + (client + round) % 4).expect("small");
                let _ = act(&clients, Change::Resize(size), id, "").await;
                let created = clients.bookings.clone().create_booking(fixtures::booking(&house.venue_id, 1)).await;
                if let Some(booking) = created.ok().and_then(|created| created.into_inner().booking) {
                    let _ = act(&clients, Change::Cancel, &booking.booking_id, "").await;
                    made.fetch_add(1, Ordering::Relaxed);
                }
                round += 1;
            }
        }
    }));
    join(storm, verifying).await;
    assert!(made.load(Ordering::Relaxed) >= 30, "little changed meanwhile");
    verify(&house.service.url, &[]).await.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_for_is_told_apart_from_what_is_wrong() {
    let house = House::firm(10).await;
    let (code, ..) = run(&house.service.url, &["--swap"]).await;
    assert_eq!(code, Some(2), "--swap goes with --repair-projection");
    let (code, _, said) = run(&house.service.url, &["--booking", "00000000-0000-0000-0000-000000000001"]).await;
    assert_eq!((code, said.trim_end()), (Some(2), "There is no such booking."));
    let away = "postgres://nobody@127.0.0.1:1/nowhere".to_owned().into();
    let (code, found, said) = run(&away, &[]).await;
    assert_eq!((code, found.as_str()), (Some(3), ""), "{said}");
    let (code, help, _) = run(&house.service.url, &["--help"]).await;
    assert_eq!(code, Some(0));
    for expected in ["--booking", "--venue", "--json", "--repair-projection", "--swap", "Exit code"] {
        assert!(help.contains(expected), "{expected} is missing from: {help}");
    }
}
