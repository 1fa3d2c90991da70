//! More calls than the connections to the database can handle.

use std::{fs, pin::pin, time::Duration};

use futures::{StreamExt as _, future::join_all, stream};
use teppan_shared::{audit::AuditTarget, gather::GatherLimits, status};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// How long a call uses the one connection, as far as the service has measured.
const USE: Duration = Duration::from_millis(40);
/// How many statements the queue is long: another call would wait for 1.2 s.
const WAITING: usize = 30;
/// The longest that a call waits in the queue.
const PATIENCE: Duration = Duration::from_mins(1);
const REFUSED: usize = 300;

async fn store(conversation: &Conversation, text: &str, deadline: Duration) -> Result<(), Status> {
    let mut request = Request::new(fixtures::message(&fixtures::conversation_id(), text));
    request.set_timeout(deadline);
    conversation.client.clone().store_message(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_would_wait_too_long_for_a_connection_are_refused_by_their_headers() {
    refuses_by_headers(1, GatherLimits::OFF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_would_wait_too_long_for_others_statements_are_refused_by_their_headers() {
    refuses_by_headers(8, GatherLimits { calls: 2, statements: 1, statements_far: 1 }).await;
}

/// The connection of the refused calls stays.
async fn refuses_by_headers(connections: u32, gather: GatherLimits) {
    let folder = tempfile::tempdir().expect("a folder");
    let audit_log = folder.path().join("audit.log");
    let (proxy, conversation) = Conversation::behind_a_proxy(|settings| {
        settings.database_limits.max_connections = connections;
        settings.database_limits.acquire_timeout = PATIENCE;
        settings.gather = gather;
        settings.server.request_timeout = PATIENCE * 2;
        settings.server.identity.audit = AuditTarget::File(audit_log.clone());
    })
    .await;
    let conversation = conversation.ready().await;
    proxy.set_round_trip_time(USE);
    for _ in 0..100 {
        store(&conversation, "Hello", Duration::from_secs(20)).await.expect("stored");
    }
    // From now on calls use the connection for so long that the queue stays.
    proxy.set_round_trip_time(Duration::from_secs(2));
    let mut waiting = pin!(join_all((0..WAITING * gather.calls).map(|_| store(&conversation, "Hello", PATIENCE * 2))));
    let large = "x".repeat(40 * 1024);
    let written = || fs::read_to_string(&audit_log).expect("readable").matches("OVERLOADED").count();
    let refused = async {
        // When a call is refused, the waiting calls have arrived.
        harness::eventually("the queue is long", async || {
            store(&conversation, "Hello", Duration::from_millis(500))
                .await
                .is_err_and(|it| it.code() != Code::Cancelled)
        })
        .await;
        let before = written();
        let calls = (0..REFUSED).map(|_| store(&conversation, &large, Duration::from_millis(1500)));
        let refused = stream::iter(calls).buffer_unordered(20).collect::<Vec<_>>().await;
        assert_eq!(written(), before, "no refused call was started");
        refused
    };
    let refused = tokio::select! {
        _ = &mut waiting => panic!("the connection is in use"),
        refused = refused => refused,
    };
    for refusal in &refused {
        let refusal = refusal.as_ref().expect_err("the call would be late");
        assert_eq!(status::reason(refusal), "OVERLOADED", "{refusal:?}");
        assert!(refusal.get_details_retry_info().is_some(), "{refusal:?}");
    }
    proxy.set_round_trip_time(Duration::ZERO);
    let stored = waiting.await;
    assert_eq!(stored.iter().find_map(|it| it.as_ref().err()).map(ToString::to_string), None);
}
