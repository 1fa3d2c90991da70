//! Idempotency keys are kept for the configured time.

use std::time::Duration;

use teppan_tests::{fixtures, harness};

use super::stage::quiet;

#[tokio::test(flavor = "multi_thread")]
async fn old_idempotency_keys_are_removed_and_young_ones_are_not() {
    let (service, venue) = quiet().await;
    let request = fixtures::booking(&venue, 1);
    service.clients.bookings.clone().create_booking(request.clone()).await.expect("booked");
    let old = "
        INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
        SELECT 'CreateBooking', 'old-' || n, sha256(''), gen_random_uuid(), now() - interval '72 hours 1 minute'
        FROM generate_series(1, 1000) AS n;
        INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
        SELECT 'CreateBooking', 'young-' || n, sha256(''), gen_random_uuid(), now() - interval '71 hours 59 minutes'
        FROM generate_series(1, 1000) AS n";
    let mut settings = harness::booking_settings(harness::settings(service.url.clone(), &service.keys));
    settings.retention_interval = Duration::from_millis(50);
    let started = harness::Booking::configured(settings, service.url.clone(), service.keys.clone()).await;
    let mut started = started.ready().await;
    // The keys become old while the service runs.
    harness::execute(&service.url, old).await;
    let left = "SELECT count(*) FROM idempotency_keys WHERE key LIKE 'old-%'";
    harness::eventually("the old keys are gone", async || started.scalar::<i64>(left).await == 0).await;
    let young = "SELECT count(*) FROM idempotency_keys WHERE key LIKE 'young-%'";
    assert_eq!(started.scalar::<i64>(young).await, 1000);
    let replayed = started.clients.bookings.create_booking(request).await.expect("replayed").into_inner();
    assert!(replayed.replayed);
}
