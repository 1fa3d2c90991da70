//! The cost of a page does not depend on the number of conversations.

use super::*;
use crate::statements::{apply_plan_settings, buffers, plan, run};

macro_rules! statement {
    ($name:literal) => {
        include_str!(concat!("../../../conversation-service/src/", $name, ".sql"))
    };
}

/// 60,000 conversations of 2,000 users, 50,000 of them escalated, half of those in the queue.
const MANY: &str = "
    INSERT INTO conversations (conversation_id, user_hash, user_sealed, channel, status, message_count, last_message_at,
                               created_at, updated_at)
    SELECT 'chat-' || n, sha256(('user-' || n % 2000)::bytea), '', (ARRAY['WEB', 'SMS', 'EMAIL'])[1 + n % 3],
           CASE WHEN n <= 50000 THEN 'ESCALATED' ELSE 'OPEN' END, 1, at, at, at
    FROM generate_series(1, 60000) AS n, LATERAL (SELECT timestamptz '2030-01-01Z' + n * interval '7 s') AS it (at);
    INSERT INTO conversation_handoffs (conversation_id, version, escalated_at, reason, assignee, held_since)
    SELECT 'chat-' || n, 1, at, 'OTHER', CASE WHEN n % 2 = 0 THEN 'agent-' || n % 100 END, at
    FROM generate_series(1, 50000) AS n, LATERAL (SELECT timestamptz '2030-01-01Z' + n * interval '7 s') AS it (at);
    VACUUM ANALYZE";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_50_of_60000_conversations_reads_only_its_own_rows() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let mut connection = harness::connect(&url).await;
    apply_plan_settings(&mut connection).await;
    for (name, types, statement) in [
        (
            "list",
            "text[], text[], timestamptz, text, bigint, timestamptz, timestamptz",
            statement!("conversations/list"),
        ),
        (
            "by_user",
            "text[], text[], timestamptz, text, bigint, timestamptz, timestamptz, bytea[]",
            statement!("conversations/list_by_user"),
        ),
        ("queue", "timestamptz, text, bigint", statement!("conversations/queue")),
        ("by_assignee", "timestamptz, text, bigint, text", statement!("conversations/queue_by_assignee")),
        ("figures", "text[]", statement!("conversations/figures")),
        ("load", "text", statement!("handoffs/load")),
    ] {
        run(&mut connection, format!("PREPARE {name} ({types}) AS {statement}")).await;
    }
    for statement in MANY.split(';') {
        run(&mut connection, statement).await;
    }
    let (channels, statuses) = ("'{WEB,SMS,EMAIL,VOICE}'", "'{OPEN,ESCALATED,CLOSED}'");
    let middle = "'2030-01-03Z', 'chat-1'";
    for (call, pages_max) in [
        (format!("list ({channels}, {statuses}, NULL, NULL, 51, NULL, NULL)"), 1000),
        (format!("list ({channels}, {statuses}, {middle}, 51, '2030-01-02Z', '2030-01-04Z')"), 1000),
        (
            format!(
                "by_user ({channels}, {statuses}, {middle}, 51, '2030-01-02Z', '2030-01-04Z', ARRAY[sha256('user-7'), sha256('user-7 by an older key')])"
            ),
            500,
        ),
        ("queue (NULL, NULL, 51)".to_owned(), 500),
        (format!("queue ({middle}, 51)"), 500),
        (format!("by_assignee ({middle}, 51, '')"), 500),
        (format!("by_assignee ({middle}, 51, 'agent-42')"), 500),
        ("by_assignee (NULL, NULL, 51, 'agent-none')".to_owned(), 10),
        ("figures ('{chat-1,chat-2,chat-3}')".to_owned(), 30),
        ("load ('chat-42')".to_owned(), 12),
    ] {
        plan(&mut connection, &call).await;
        let plan = plan(&mut connection, &call).await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        println!("{call}: {} pages", buffers(&plan));
        assert!(buffers(&plan) < pages_max, "{call}: {} pages\n{plan}", buffers(&plan));
    }
}
