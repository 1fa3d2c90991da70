//! The cost of a context window does not depend on the length of its conversation.

use teppan_tests::harness;

use crate::statements::{apply_plan_settings, buffers, plan, run};

const LOAD: &str = include_str!("../../../conversation-service/src/context_windows/load.sql");

/// Conversations of 100, 2,000 and 10,000 messages, every fiftieth by the system.
const CONVERSATIONS: &str = "
    INSERT INTO conversations (conversation_id, channel, message_count, last_message_at, created_at, updated_at)
    VALUES ('short', 'WEB', 100, now(), now(), now()), ('middle', 'WEB', 2000, now(), now(), now()),
           ('long', 'WEB', 10000, now(), now(), now());
    INSERT INTO messages (
        message_id, conversation_id, sequence, role, channel, content_sealed, sent_at, stored_at, fingerprint)
    SELECT gen_random_uuid(), conversation_id, n, CASE WHEN n % 50 = 0 THEN 'SYSTEM' ELSE 'USER' END, 'WEB',
           sha256(n::text::bytea) || sha256(n::text::bytea), now(), now(), sha256('')
    FROM (VALUES ('short', 100), ('middle', 2000), ('long', 10000)) AS c (conversation_id, count)
    CROSS JOIN LATERAL generate_series(1, count) AS n;
    VACUUM ANALYZE";

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_10000_messages_reads_no_more_pages_than_one_of_2000() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let mut connection = harness::connect(&url).await;
    for statement in CONVERSATIONS.split(';') {
        run(&mut connection, statement).await;
    }
    apply_plan_settings(&mut connection).await;
    run(&mut connection, format!("PREPARE load (text, bigint, bigint, bigint) AS {LOAD}")).await;
    for messages in [40, 220] {
        let mut pages = Vec::new();
        for chat in ["short", "middle", "long"] {
            let call = format!("load ('{chat}', {messages}, 2097152, 1048576)");
            plan(&mut connection, &call).await;
            let plan = plan(&mut connection, &call).await;
            assert!(!plan.contains("Seq Scan"), "{plan}");
            println!("{chat}, {messages}: {} pages", buffers(&plan));
            pages.push(buffers(&plan));
        }
        // An index of another depth is a page or two.
        assert!(pages[2] <= pages[1] + 3, "{pages:?}");
        // The short conversation has no system messages before the newest ones. Of the others 21 are read.
        assert!(pages[2] <= pages[0] + 2 * 21, "{pages:?}");
    }
}
