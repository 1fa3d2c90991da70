//! StoreMessage in databases with few and with many messages.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection};
use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::{launch::Which, tool::Interrupt};

use super::{Plan, SizedCall, SizedReport, grouped, rounds_of};
use crate::{
    case::Run,
    error::BenchError,
    load::{self, Clients},
    measured::{Cpu, Measured},
    side::Side,
    stage::Served,
    store_message,
};

const FILL: &str = include_str!("seed/messages.sql");
const TIDY: &str = include_str!("seed/tidy_messages.sql");
/// As in both statements.
const MESSAGES_A_CONVERSATION: u32 = 20;
/// How the ids of the conversations begin.
const PREFIX: &str = "chat-size-";

/// A conversation-service with so many messages in its database.
struct Database {
    served: Served,
    conversations: u32,
}

/// Makes the databases, and measures; `None` if the user interrupted it.
pub async fn measure(
    plan: &Plan<'_>,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
) -> Result<Option<Option<SizedReport>>, BenchError> {
    let mut databases = Vec::new();
    let measuring = async {
        for &messages in &plan.messages {
            databases.push(Database::make(server, messages).await?);
        }
        let once = async |side, run, database: &Database| measure_once(side, run, plan, server, database).await;
        rounds_of(SizedCall::StoreMessage, ("messages", &plan.messages), 0, plan, server, (&databases, once)).await
    };
    let measured = interrupt.unless_interrupted(Box::pin(measuring)).await;
    for database in databases {
        database.served.process.stop().await;
    }
    measured.transpose()
}

impl Database {
    async fn make(postgres: &ThrowawayServer, messages: u32) -> Result<Self, BenchError> {
        eprintln!("Making a database with {} messages…", grouped(messages));
        let started = Instant::now();
        let conversations = messages.div_ceil(MESSAGES_A_CONVERSATION);
        let served = Served::start(Which::Conversation, postgres, &format!("conversation_service_{messages}")).await?;
        let database = Self { served, conversations };
        let mut connection = database.writer().await?;
        for statement in
            FILL.split("--;").map(|statement| statement.replace("$conversations", &conversations.to_string()))
        {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        connection.close().await?;
        database.served.settle().await?;
        eprintln!("  done in {:.0} s", started.elapsed().as_secs_f64());
        Ok(database)
    }

    /// A connection that waits for no disk, checks no foreign key of what it fills in, and finds rows by their keys.
    async fn writer(&self) -> Result<PgConnection, BenchError> {
        let mut connection = self.served.connect().await?;
        for setting in [
            "SET synchronous_commit = off",
            "SET session_replication_role = replica",
            "SET enable_hashjoin = off",
            "SET enable_mergejoin = off",
        ] {
            sqlx::raw_sql(setting).execute(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Takes away what measurements stored, and tells how many messages it was.
    async fn tidy(&self) -> Result<i64, BenchError> {
        let mut connection = self.writer().await?;
        let mut transaction = connection.begin().await?;
        // The worker that counts emotions waits, so that the two cannot deadlock.
        sqlx::raw_sql("LOCK TABLE emotion_pending").execute(&mut *transaction).await?;
        let stored = sqlx::query_scalar(TIDY).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        connection.close().await?;
        self.served.settle().await?;
        Ok(stored)
    }
}

async fn measure_once(
    side: Side,
    run: Run,
    plan: &Plan<'_>,
    postgres: &ThrowawayServer,
    database: &Database,
) -> Result<Measured, BenchError> {
    let (served, last) = (&database.served, usize::try_from(database.conversations).unwrap_or(usize::MAX));
    let target = store_message::Target::among(PREFIX, (1, last), run);
    let before = Cpu::now(served, postgres);
    let sample = if side == Side::Pgbench {
        plan.pgbench.run(&target.script(), &served.url, 1, plan.timing).await?
    } else {
        let clients = Clients { count: 1, connections: 1 };
        load::run(served.process.grpc, clients, plan.timing, move |channel| target.clone().call(channel)).await?
    };
    let cpu = before.zip(Cpu::now(served, postgres)).map(|(before, after)| before.until(&after, sample.calls));
    let written = database.tidy().await?;
    if u64::try_from(written) != Ok(sample.calls) {
        let what = SizedCall::StoreMessage.name().to_owned();
        return Err(BenchError::Unequal { what, calls: sample.calls, written });
    }
    Ok(Measured { cpu, ..sample.figures().into() })
}
