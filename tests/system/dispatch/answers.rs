//! Every client can read the answer to a claim: it stays below gRPC's default limit.

use std::collections::BTreeSet;

use prost::Message as _;
use teppan_shared::contract::conversation::v1::{ClaimDueFollowUpsRequest, ClaimDueFollowUpsResponse};
use teppan_tests::{fixtures, harness};

use super::fixture::*;

/// The largest message that gRPC clients accept by default.
const CLIENT_BYTES_MAX: usize = 4 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_large_follow_ups_are_claimed_in_answers_below_the_clients_limit() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let text = "席".repeat(32_768 / 3);
    let values: &'static str = "v".repeat(16_000).leak();
    let large = || Scheduled { metadata: vec![("values", values)], ..custom(&chat, &text) };
    let follow_ups: Vec<_> = (0..100).map(|_| large()).collect();
    schedule(&service, &follow_ups).await;
    until(&service, "SELECT count(*) = 100 FROM follow_ups WHERE ready_at IS NOT NULL").await;

    let mut all = BTreeSet::new();
    let mut sizes = Vec::new();
    while all.len() < 100 {
        let follow_ups = claim(&service.follow_ups, at_once()).await;
        assert!(!follow_ups.is_empty(), "only {} of 100 could be claimed", all.len());
        all.extend(follow_ups.iter().map(id_of));
        sizes.push(ClaimDueFollowUpsResponse { follow_ups }.encoded_len());
    }
    println!("answers of {sizes:?} bytes");
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < CLIENT_BYTES_MAX * 3 / 4), "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_claim_returns_the_same_follow_ups_as_the_lost_reply() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let follow_ups: Vec<_> = (0..100).map(|_| custom(&chat, &"t".repeat(32_768))).collect();
    schedule(&service, &follow_ups).await;
    until(&service, "SELECT count(*) = 100 FROM follow_ups WHERE ready_at IS NOT NULL").await;
    let keyed = || ClaimDueFollowUpsRequest { idempotency_key: "the same".to_owned(), ..at_once() };
    let (first, again) = (claim(&service.follow_ups, keyed()).await, claim(&service.follow_ups, keyed()).await);
    assert!((60..70).contains(&first.len()), "{}", first.len());
    assert_eq!(first, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_that_cannot_be_read_do_not_block_others() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let mut follow_ups: Vec<_> = (0..6).map(|_| custom(&chat, "How was it?")).collect();
    for (follow_up, minutes) in follow_ups.iter_mut().zip(1..) {
        follow_up.due_at -= chrono::TimeDelta::minutes(10 - minutes);
    }
    schedule(&service, &follow_ups).await;
    until(&service, "SELECT count(*) = 6 FROM follow_ups WHERE ready_at IS NOT NULL").await;
    // Corrupt the two that are due first: the text of one, and the metadata of the other.
    let corrupt = format!(
        "UPDATE follow_ups SET content_sealed = 'x' WHERE follow_up_id = '{}';
         UPDATE follow_ups SET metadata_sealed = 'x' WHERE follow_up_id = '{}'",
        follow_ups[0].id, follow_ups[1].id
    );
    harness::execute(&service.url, sqlx::AssertSqlSafe(corrupt)).await;
    let one = || ClaimDueFollowUpsRequest { batch_size: 1, ..at_once() };
    let first = claim(&service.follow_ups, one()).await;
    assert_eq!(first.iter().map(id_of).collect::<Vec<_>>(), [follow_ups[2].id.to_string()]);
    assert_eq!(claim(&service.follow_ups, at_once()).await.len(), 3);
}
