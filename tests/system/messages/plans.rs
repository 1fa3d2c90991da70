//! The cost of a context window does not depend on the length of its conversation.

use teppan_tests::harness;

use crate::statements::{apply_plan_settings, buffers, plan, run};

const LOAD: &str = include_str!("../../../conversation-service/src/context_windows/load.sql");

/// Two conversations, of 100 and of 10,000 messages, every fiftieth by the system.
const CONVERSATIONS: &str = "
    INSERT INTO conversations (conversation_id, channel, message_count, last_message_at, created_at, updated_at)
    VALUES ('short', 'WEB', 100, now(), now(), now()), ('long', 'WEB', 10000, now(), now(), now());
    INSERT INTO messages (
        message_id, conversation_id, sequence, role, channel, content_sealed, sent_at, stored_at, fingerprint)
    SELECT gen_random_uuid(), conversation_id, n, CASE WHEN n % 50 = 0 THEN 'SYSTEM' ELSE 'USER' END, 'WEB',
           sha256(n::text::bytea) || sha256(n::text::bytea), now(), now(), sha256('')
    FROM (VALUES ('short', 100), ('long', 10000)) AS c (conversation_id, count)
    CROSS JOIN LATERAL generate_series(1, count) AS n;
    VACUUM ANALYZE";

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_10000_messages_reads_as_many_pages_as_one_of_100() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let mut connection = harness::connect(&url).await;
    for statement in CONVERSATIONS.split(';') {
        run(&mut connection, statement).await;
    }
    apply_plan_settings(&mut connection).await;
    run(&mut connection, format!("PREPARE load (text, bigint, bigint, bigint) AS {LOAD}")).await;
    let mut pages = Vec::new();
    for (chat, messages) in [("short", 40), ("long", 40), ("short", 220), ("long", 220)] {
        let call = format!("load ('{chat}', {messages}, 2097152, 1048576)");
        plan(&mut connection, &call).await;
        let plan = plan(&mut connection, &call).await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        println!("{chat}, {messages}: {} pages", buffers(&plan));
        pages.push(buffers(&plan));
    }
    // The long conversation has more system messages before the newest ones: 21 are read at most, each from its page.
    assert!(pages[1] <= pages[0] + 2 * 21, "{pages:?}");
    assert!(pages[3] <= 2 * 220 + 2 * 21, "{pages:?}");
}
