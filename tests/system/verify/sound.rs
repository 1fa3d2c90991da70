use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::{join, join_all};
use teppan_tests::fixtures;

use super::{bookings_in_every_state, run, verify};
use crate::changes::{Change, VenueFixture, act};

#[tokio::test(flavor = "multi_thread")]
async fn bookings_in_every_state_have_no_findings() {
    let fixture = bookings_in_every_state().await;
    let report = verify(&fixture.service.url, &[]).await;
    report.assert_sound();
    assert!(report.summary.contains("Verified 13 bookings"), "{}", report.summary);
    assert!(report.summary.contains("bookings/s") && report.summary.contains("0 findings"), "{}", report.summary);

    let venue = verify(&fixture.service.url, &["--venue", &fixture.venue_id]).await;
    venue.assert_sound();
    assert!(venue.summary.contains("Verified 13 bookings"), "{}", venue.summary);
    let nowhere = verify(&fixture.service.url, &["--venue", "00000000-0000-0000-0000-000000000001"]).await;
    nowhere.assert_sound();
    assert!(nowhere.summary.contains("Verified 0 bookings") && nowhere.summary.contains(" 0 slots"));
    let id: String = fixture.service.scalar("SELECT booking_id::text FROM bookings LIMIT 1").await;
    let one = verify(&fixture.service.url, &["--booking", &id]).await;
    one.assert_sound();
    assert!(one.summary.contains("Verified 1 bookings"), "{}", one.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_are_never_findings() {
    let fixture = VenueFixture::with_deposit(60).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(fixture.book(1).await.booking_id);
    }
    let (over, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let verifying = async {
        let mut runs = 0;
        while runs < 4 || (made.load(Ordering::Relaxed) < 30 && runs < 200) {
            verify(&fixture.service.url, &[]).await.assert_sound();
            runs += 1;
        }
        over.store(true, Ordering::Relaxed);
    };
    let storm = join_all((0..6).map(|client| {
        let (fixture, ids, over, made) = (&fixture, &ids, &over, &made);
        async move {
            let (clients, mut round) = (fixture.service.clients.clone(), 0_usize);
            while !over.load(Ordering::Relaxed) {
                let id = &ids[(client * 7 + round * 3) % ids.len()];
                let time = ["18:00", "18:30", "19:00"][(client + round) % 3];
                // Refusals are expected, because the slots are nearly full.
                let _ = act(&clients, Change::Move(time), id, "").await;
                let size = i32::try_from(1 + (client + round) % 4).expect("small");
                let _ = act(&clients, Change::Resize(size), id, "").await;
                let created = clients.bookings.clone().create_booking(fixtures::booking(&fixture.venue_id, 1)).await;
                if let Some(booking) = created.ok().and_then(|created| created.into_inner().booking) {
                    let _ = act(&clients, Change::Cancel, &booking.booking_id, "").await;
                    made.fetch_add(1, Ordering::Relaxed);
                }
                round += 1;
            }
        }
    }));
    join(storm, verifying).await;
    assert!(made.load(Ordering::Relaxed) >= 30, "too few changes ran beside the verification");
    verify(&fixture.service.url, &[]).await.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_separate_wrong_arguments_and_an_unavailable_database_from_findings() {
    let fixture = VenueFixture::without_deposit(10).await;
    let (code, ..) = run(&fixture.service.url, &["--swap"]).await;
    assert_eq!(code, Some(2), "--swap goes with --repair-projection");
    let (code, _, report) = run(&fixture.service.url, &["--booking", "00000000-0000-0000-0000-000000000001"]).await;
    assert_eq!((code, report.trim_end()), (Some(2), "There is no such booking."));
    let unavailable = "postgres://nobody@127.0.0.1:1/nowhere".to_owned().into();
    let (code, found, report) = run(&unavailable, &[]).await;
    assert_eq!((code, found.as_str()), (Some(3), ""), "{report}");
    let (code, help, _) = run(&fixture.service.url, &["--help"]).await;
    assert_eq!(code, Some(0));
    for expected in ["--booking", "--venue", "--checkpoint", "--json", "--repair-projection", "--swap", "Exit code"] {
        assert!(help.contains(expected), "{expected} is missing from: {help}");
    }
}
