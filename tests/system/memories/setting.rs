use futures::future::join_all;
use teppan_shared::{
    contract::conversation::v1::{DeleteConversationRequest, DeleteMemoryRequest, RedactMessageRequest},
    keys::Keys,
};
use uuid::Uuid;

use super::*;
use crate::{
    follow_ups::at,
    statements::{apply_plan_settings, buffers, plan, run},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_is_read_back_replaced_by_its_key_and_deleted() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let source = say(&service, &chat, "mina").await;
    let sourced = SetMemoryRequest {
        source_message_id: source.clone(),
        confidence: Some(0.5),
        expires_at: Some(at("2090-01-01T00:00:00Z")),
        ..fact("mina", "allergies", "No shellfish.")
    };
    let first = set(&service, sourced.clone()).await.expect("set");
    assert_eq!((first.key.as_str(), first.value.as_str()), ("allergies", "No shellfish."));
    assert_eq!((&first.source_conversation_id, &first.source_message_id), (&chat, &source));
    assert_eq!((first.confidence, &first.expires_at), (Some(0.5), &sourced.expires_at));
    set(&service, fact("mina", "city", "Berlin")).await.expect("set");
    set(&service, fact("kenji", "allergies", "None.")).await.expect("set");

    let replaced = set(&service, fact("mina", "allergies", "No nuts.")).await.expect("replaced");
    assert_eq!((replaced.value.as_str(), replaced.confidence, &replaced.expires_at), ("No nuts.", None, &None));
    assert_eq!((replaced.source_message_id.as_str(), &replaced.created_at), ("", &first.created_at));
    for page_size in [1, 50] {
        let memories = listed(&service, "mina", page_size).await;
        assert_eq!(memories.len(), 2);
        assert_eq!((&memories[0], memories[1].value.as_str()), (&replaced, "Berlin"));
    }
    let delete = DeleteMemoryRequest { user_id: "mina".to_owned(), key: "allergies".to_owned() };
    for deleted in [true, false] {
        let answer = service.client.clone().delete_memory(delete.clone()).await.expect("deleted").into_inner();
        assert_eq!(answer.deleted, deleted);
    }
    assert_eq!(listed(&service, "mina", 50).await.len(), 1);
    assert_eq!(listed(&service, "kenji", 50).await.len(), 1);
    assert!(listed(&service, "nobody", 50).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_goes_with_its_message_and_with_its_conversation() {
    let service = Conversation::start().await.ready().await;
    let (chat, other) = (fixtures::conversation_id(), fixtures::conversation_id());
    let (said, more) = (say(&service, &chat, "mina").await, say(&service, &chat, "mina").await);
    let elsewhere = say(&service, &other, "mina").await;
    for (key, source_message_id) in [("a", said.clone()), ("b", more), ("c", elsewhere), ("d", String::new())] {
        set(&service, SetMemoryRequest { source_message_id, ..fact("mina", key, "value") }).await.expect("set");
    }
    let keys = async || listed(&service, "mina", 50).await.into_iter().map(|it| it.key).collect::<Vec<_>>();
    let redact = RedactMessageRequest { conversation_id: chat.clone(), message_id: said.clone() };
    service.client.clone().redact_message(redact).await.expect("redacted");
    assert_eq!(keys().await, ["b", "c", "d"]);
    for source_message_id in [said, Uuid::new_v4().to_string()] {
        let refused = SetMemoryRequest { source_message_id, ..fact("mina", "e", "value") };
        let status = set(&service, refused).await.expect_err("no source");
        assert_eq!(kind(&status), (Code::NotFound, "MESSAGE_NOT_FOUND".to_owned()));
    }
    let delete = DeleteConversationRequest { conversation_id: chat };
    service.client.clone().delete_conversation(delete).await.expect("deleted");
    assert_eq!(keys().await, ["c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_memory_is_not_listed_and_is_removed() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let start = async |interval| {
        let common = harness::settings(url.clone(), &keys);
        Conversation::changed(common, url.clone(), keys.clone(), |settings| {
            settings.scheduling.retention.interval = interval;
        })
        .await
        .ready()
        .await
    };
    let service = start(std::time::Duration::from_hours(1)).await;
    for key in ["a", "b"] {
        set(&service, fact("mina", key, "value")).await.expect("set");
    }
    harness::execute(
        &service.url,
        "UPDATE user_memories SET expires_at = now() - interval '1 second'
         WHERE memory_id = (SELECT memory_id FROM user_memories ORDER BY memory_id LIMIT 1)",
    )
    .await;
    assert_eq!(listed(&service, "mina", 50).await.len(), 1);
    let _eager = start(std::time::Duration::from_millis(20)).await;
    let rows = "SELECT count(*) FROM user_memories";
    harness::eventually("it is removed", async || service.scalar::<i64>(rows).await == 1).await;
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM memory_users").await, 1, "there is another memory");
    harness::execute(&service.url, "UPDATE user_memories SET expires_at = now()").await;
    let users = "SELECT count(*) FROM memory_users";
    harness::eventually("the user is removed", async || service.scalar::<i64>(users).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_calls_with_one_key_the_last_one_stays_alone() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    for round in 0..6 {
        let user = format!("user-{round}");
        let values: Vec<_> = (0..24).map(|n| n.to_string()).collect();
        let calls = values
            .iter()
            .enumerate()
            .map(|(n, value)| set(if n % 2 == 0 { &first } else { &second }, fact(&user, "city", value)));
        for set in join_all(calls).await {
            set.expect("set");
        }
        assert_eq!(listed(&second, &user, 50).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_is_reported_and_a_user_has_a_bounded_number_of_memories() {
    let service = Conversation::start().await.ready().await;
    let wrong = SetMemoryRequest {
        source_message_id: "x".to_owned(),
        confidence: Some(1.5),
        expires_at: Some(at("2020-01-01T00:00:00Z")),
        ..fact("", &"x".repeat(101), &"x".repeat(4097))
    };
    let fields = ["user_id", "key", "value", "source_message_id", "confidence", "expires_at"];
    assert_eq!(wrong_fields(&set(&service, wrong).await.expect_err("wrong")), fields);
    let mut client = service.client.clone();
    let wrong = ListMemoriesRequest { page_size: -1, page_token: "x".to_owned(), ..Default::default() };
    let status = client.list_memories(wrong).await.expect_err("wrong");
    assert_eq!(wrong_fields(&status), ["page_token", "user_id", "page_size"]);

    set(&service, fact("mina", "a", "value")).await.expect("set");
    harness::execute(
        &service.url,
        "INSERT INTO user_memories
         SELECT gen_random_uuid(), memory_user_id, sha256(n::text::bytea), key_sealed, value_sealed, NULL, NULL, NULL, NULL,
                created_at, updated_at
         FROM user_memories, generate_series(2, 1000) AS n",
    )
    .await;
    let status = set(&service, fact("mina", "b", "value")).await.expect_err("too many");
    assert_eq!(kind(&status), (Code::FailedPrecondition, "TOO_MANY_MEMORIES".to_owned()));
    set(&service, fact("mina", "a", "another value")).await.expect("it replaces one");
    set(&service, fact("kenji", "b", "value")).await.expect("another user has room");
}

#[tokio::test(flavor = "multi_thread")]
async fn memories_are_sealed_hashed_and_bound_to_their_user_and_key_and_survive_new_keys() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let older = Keys::random().to_text();
    let older = secrecy::ExposeSecret::expose_secret(&older).to_owned();
    let keys = |text: &str| Keys::parse(text).expect("a ring");
    let service = Conversation::over(url.clone(), keys(&older)).await.ready().await;
    set(&service, fact("mina", "allergies", "No shellfish.")).await.expect("set");
    set(&service, fact("kenji", "allergies", "None at all.")).await.expect("set");
    let clear = "SELECT bool_or(m::text LIKE '%mina%' OR position('allergies'::bytea IN key_sealed) > 0
                        OR position('shellfish'::bytea IN value_sealed) > 0) FROM user_memories AS m";
    let user = "SELECT bool_or(position('mina'::bytea IN user_sealed) > 0) FROM memory_users";
    assert!(!service.scalar::<bool>(user).await);
    assert!(!service.scalar::<bool>(clear).await);
    let alike = "SELECT count(DISTINCT key_hash) FROM user_memories";
    assert_eq!(service.scalar::<i64>(alike).await, 2, "the same key of two users has two hashes");

    // Under a newer key it is found, and set in its place.
    let newer = secrecy::ExposeSecret::expose_secret(&Keys::random().to_text()).replacen("1:", "2:", 1);
    let rotated = Conversation::over(url, keys(&format!("{newer},{older}"))).await.ready().await;
    assert_eq!(listed(&rotated, "mina", 1).await[0].value, "No shellfish.");
    set(&rotated, fact("mina", "allergies", "No nuts.")).await.expect("set");
    set(&rotated, fact("mina", "city", "Berlin")).await.expect("set");
    let values: Vec<_> = listed(&rotated, "mina", 1).await.into_iter().map(|it| it.value).collect();
    assert_eq!(values, ["No nuts.", "Berlin"]);

    // A value of another key does not open, and the list continues after it.
    harness::execute(
        &rotated.url,
        "UPDATE user_memories SET value_sealed = (SELECT value_sealed FROM user_memories ORDER BY created_at DESC LIMIT 1)
         WHERE memory_id = (SELECT memory_id FROM user_memories WHERE memory_user_id = (
             SELECT memory_user_id FROM user_memories GROUP BY memory_user_id HAVING count(*) = 2) ORDER BY memory_id LIMIT 1)",
    )
    .await;
    let mut request = ListMemoriesRequest { user_id: "mina".to_owned(), ..Default::default() };
    let status = rotated.client.clone().list_memories(request.clone()).await.expect_err("it does not open");
    assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
    request.page_token = status.get_details_error_info().expect("info").metadata["next_page_token"].clone();
    let rest = rotated.client.clone().list_memories(request).await.expect("the rest").into_inner();
    assert_eq!(rest.memories.len(), 1);

    // Nor do all memories of one user under the hash of another.
    harness::execute(
        &rotated.url,
        "CREATE TEMP TABLE was AS SELECT memory_user_id, user_hash FROM memory_users;
         UPDATE memory_users SET user_hash = sha256(user_hash);
         UPDATE memory_users AS u SET user_hash = was.user_hash FROM was WHERE was.memory_user_id <> u.memory_user_id",
    )
    .await;
    for user in ["mina", "kenji"] {
        let request = ListMemoriesRequest { user_id: user.to_owned(), ..Default::default() };
        let status = rotated.client.clone().list_memories(request).await.expect_err("it does not open");
        assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
        let status = set(&rotated, fact(user, "city", "Tokyo")).await.expect_err("it does not open");
        assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
    }
}

macro_rules! statement {
    ($name:literal) => {
        include_str!(concat!("../../../conversation-service/src/memories/", $name, ".sql"))
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reads_a_few_pages_of_50000_memories() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let mut connection = harness::connect(&url).await;
    apply_plan_settings(&mut connection).await;
    let set = "uuid, bytea[], uuid, bytea, bytea, uuid, double precision, timestamptz, timestamptz, bigint";
    for (name, types, statement) in [
        ("owner", "bytea[], uuid, bytea, timestamptz", statement!("user")),
        ("find", "bytea[]", statement!("find")),
        ("set", set, statement!("set")),
        ("list", "bytea[], uuid, timestamptz, bigint", statement!("list")),
        ("delete_one", "uuid, bytea[]", statement!("delete_one")),
        ("delete_user", "bytea[]", statement!("delete_user")),
        ("purge", "timestamptz", statement!("purge")),
    ] {
        run(&mut connection, format!("PREPARE {name} ({types}) AS {statement}")).await;
    }
    let many = "
        INSERT INTO memory_users (memory_user_id, user_hash, user_sealed, created_at)
        SELECT md5(n::text)::uuid, sha256(n::text::bytea), 'x', now() FROM generate_series(0, 4999) AS n;
        INSERT INTO user_memories (
            memory_id, memory_user_id, key_hash, key_sealed, value_sealed, expires_at, created_at, updated_at)
        SELECT gen_random_uuid(), md5((n % 5000)::text)::uuid, sha256(n::text::bytea), 'x', 'x',
               now() + (n - 100) * interval '1 minute', now(), now()
        FROM generate_series(1, 50000) AS n;
        VACUUM ANALYZE";
    for statement in many.split(';') {
        run(&mut connection, statement).await;
    }
    let (user, row) = ("ARRAY[sha256('7'), sha256('none')]", "md5('7')::uuid");
    let nil = "'00000000-0000-0000-0000-000000000000'";
    for (call, pages_max) in [
        (format!("owner ({user}, gen_random_uuid(), 'x', now())"), 10),
        (format!("find ({user})"), 10),
        (format!("set ({row}, {user}, gen_random_uuid(), 'x', 'x', NULL, NULL, NULL, now(), 1000)"), 100),
        (format!("list ({user}, NULL, now(), 51)"), 60),
        (format!("list ({user}, {nil}, now(), 51)"), 60),
        (format!("delete_one ({row}, {user})"), 40),
        (format!("delete_user ({user})"), 400),
        ("purge (now())".to_owned(), 3000),
    ] {
        run(&mut connection, "BEGIN").await;
        let plan = plan(&mut connection, &call).await;
        run(&mut connection, "ROLLBACK").await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        println!("{call}: {} pages", buffers(&plan));
        assert!(buffers(&plan) < pages_max, "{call}: {} pages\n{plan}", buffers(&plan));
    }
}
