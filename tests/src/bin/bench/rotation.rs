//! StoreMessage while `rotate-keys` seals a large table anew, beside StoreMessage alone; and a rotation that is killed
//! in the middle.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use teppan_shared::{
    contract::conversation::v1::{
        ListMessagesRequest, StoreMessagesRequest, conversation_service_client::ConversationServiceClient,
    },
    embedded::ThrowawayServer,
};
use teppan_tests::{
    clients, fixtures,
    launch::{self, Which},
};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

use crate::{
    case::{Rows, Run},
    comparison::{self, Bound, Comparison, Subject, Target},
    error::BenchError,
    load::{self, Clients},
    measured::Measured,
    open_loop::load::open,
    rounds::{Round, Rounds, Watch},
    sample::Timing,
    side::Side,
    stage::{Served, random_key},
    store_message,
};

/// What is measured, and how.
pub struct Plan {
    /// Messages that are sealed anew.
    pub rows: u32,
    pub rounds: usize,
    pub timing: Timing,
}

const MESSAGES_A_CONVERSATION: u32 = 100;
const CONCURRENT_CALLS: usize = 16;
const PEAK_CLIENTS: usize = 32;
/// The load beside the rotation, as a share of the peak.
const SHARE: f64 = 0.5;
/// How many times as long as without the rotation the slowest calls may take.
const TIMES_MAX: f64 = 1.25;
const SIDES: [&str; 2] = ["alone", "beside rotate-keys"];
/// The fastest rate of the command.
const UNTHROTTLED: &str = "1000000";

/// Seals so many messages, measures beside their rotation, and kills it, ends it and reads all of them.
pub async fn measure(plan: &Plan, postgres: &ThrowawayServer) -> Result<Vec<Comparison>, BenchError> {
    let mut served = Served::start(Which::Conversation, postgres, "rotation").await?;
    let conversations = plan.rows.div_ceil(MESSAGES_A_CONVERSATION);
    fill(served.process.grpc, conversations).await?;
    served.restart_with(Which::Conversation, |keys| format!("2:{},{keys}", random_key())).await?;
    println!("{}", comparison::heading());
    let compared = beside(plan, postgres, &served).await?;
    check_rotation(plan, &served).await?;
    served
        .restart_with(Which::Conversation, |keys| keys.split_once(',').map_or(keys, |(first, _)| first).to_owned())
        .await?;
    let read = read(served.process.grpc, conversations).await?;
    println!("With the new key alone {read} messages were read: all of them.");
    served.process.stop().await;
    Ok(compared)
}

/// Alternates open loops with and without a rotation, which stands still meanwhile.
async fn beside(plan: &Plan, postgres: &ThrowawayServer, served: &Served) -> Result<Vec<Comparison>, BenchError> {
    served.settle().await?;
    let address = served.process.grpc;
    let target = store_message::Target::new(Side::Teppan, Rows::Many, Run(0));
    let peak = {
        let (clients, target) = (Clients { count: PEAK_CLIENTS, connections: 4 }, target.clone());
        load::run(address, clients, plan.timing, move |channel| target.clone().call(channel)).await?.figures()
    };
    let rate = peak.per_second * SHARE;
    let mut rotation = Rotation::start(served, &[])?;
    rotation.signal("STOP").await?;
    let mut once = async |is_beside: bool| {
        if is_beside {
            rotation.signal("CONT").await?;
        }
        let target = target.clone();
        let call = move |timeout, channel| target.clone().call_within(timeout, channel);
        let opened = open(address, rate, plan.timing, call).await;
        if is_beside {
            rotation.signal("STOP").await?;
            rotation.must_run()?;
        }
        let opened = opened?;
        Ok::<_, BenchError>(Measured { figures: opened.figures, cpu: None, open: Some(opened.open) })
    };
    let name = format!("StoreMessage at {rate:.0} calls/s, {} % of the peak", SHARE * 100.0);
    let round = async |round: Round| {
        if round.place.is_multiple_of(2) {
            let alone = once(false).await?;
            Ok(vec![alone, once(true).await?])
        } else {
            let beside = once(true).await?;
            Ok(vec![once(false).await?, beside])
        }
    };
    let rounds = Rounds::make(&name, plan.rounds, &Watch::over(postgres), round).await?;
    rotation.kill().await?;
    let subject = Subject { name, group: "StoreMessage beside rotate-keys".to_owned(), x: f64::from(plan.rows) };
    let target = Target { than: SIDES[0], bound: Bound::P99AtMostTimes(TIMES_MAX) };
    let compared = Comparison::new(subject, &SIDES, vec![target], &rounds);
    if let Some(compared) = &compared {
        println!("{compared}");
    }
    Ok(compared.into_iter().collect())
}

/// Runs the rotation, kills it in the middle, and runs it to its end.
async fn check_rotation(plan: &Plan, served: &Served) -> Result<(), BenchError> {
    let by_new_key = async || {
        let mut connection = served.connect().await?;
        let count = "SELECT count(*) FROM messages WHERE get_byte(content_sealed, 2) = 2 AND conversation_id LIKE $1";
        let rotated: i64 = sqlx::query_scalar(count).bind("rotated-%").fetch_one(&mut connection).await?;
        Ok::<_, BenchError>(rotated)
    };
    let half = i64::from(plan.rows) / 2;
    let mut first = Rotation::start(served, &["--rows-per-second", UNTHROTTLED])?;
    let rotated = loop {
        let rotated = by_new_key().await?;
        if rotated >= half {
            break rotated;
        }
        first.must_run()?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    first.kill().await?;
    println!("rotate-keys was killed when {rotated} of {} messages were sealed by the new key.", plan.rows);
    let started = Instant::now();
    let output = command(served, &["--rows-per-second", UNTHROTTLED]).output().await;
    let output = output.map_err(BenchError::file("conversation-service"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    println!("Run again, it took {:.0} s, and said:\n{}", started.elapsed().as_secs_f64(), text.trim_end());
    if output.status.success() { Ok(()) } else { Err(BenchError::Rotation(text.into_owned())) }
}

/// A running `rotate-keys`.
struct Rotation(Child);

impl Rotation {
    fn start(served: &Served, arguments: &[&str]) -> Result<Self, BenchError> {
        command(served, arguments).spawn().map(Self).map_err(BenchError::file("conversation-service"))
    }

    async fn signal(&self, name: &str) -> Result<(), BenchError> {
        let id = self.0.id().ok_or_else(|| BenchError::Rotation("it has ended too early".to_owned()))?;
        let sent = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().await;
        sent.map(|_| ()).map_err(BenchError::file("kill"))
    }

    /// An error if it has ended: then nothing was measured beside it.
    fn must_run(&mut self) -> Result<(), BenchError> {
        let ended = self.0.try_wait().map_err(BenchError::file("conversation-service"))?;
        ended.map_or(Ok(()), |_| Err(BenchError::Rotation("it has ended too early; use more messages".to_owned())))
    }

    async fn kill(&mut self) -> Result<(), BenchError> {
        self.0.kill().await.map_err(BenchError::file("conversation-service"))
    }
}

fn command(served: &Served, arguments: &[&str]) -> Command {
    let mut command = Command::new(launch::binary(Which::Conversation.binary()));
    command.arg("rotate-keys").args(arguments).envs(served.environment());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// The conversation with this number.
fn conversation_id(number: u32) -> String {
    format!("rotated-{number}")
}

/// What a message of it says.
fn content(conversation: u32, message: u32) -> String {
    format!("Could we get a table for four on Saturday evening, please? This is message {message} of {conversation}.")
}

async fn fill(address: SocketAddr, conversations: u32) -> Result<(), BenchError> {
    let started = Instant::now();
    eprintln!("Storing {} messages…", conversations * MESSAGES_A_CONVERSATION);
    each(address, conversations, async |channel, number| {
        let conversation_id = conversation_id(number);
        let message = |message| fixtures::message(&conversation_id, &content(number, message));
        let messages = (0..MESSAGES_A_CONVERSATION).map(message).collect();
        let request = StoreMessagesRequest { conversation_id: conversation_id.clone(), messages };
        ConversationServiceClient::new(channel).store_messages(request).await?;
        Ok(())
    })
    .await?;
    eprintln!("  done in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Reads every message, and returns how many there are.
async fn read(address: SocketAddr, conversations: u32) -> Result<u32, BenchError> {
    each(address, conversations, async |channel, number| {
        let list =
            ListMessagesRequest { conversation_id: conversation_id(number), page_size: 1000, ..Default::default() };
        let messages = ConversationServiceClient::new(channel).list_messages(list).await?.into_inner().messages;
        let as_stored =
            (0..).zip(&messages).filter(|(message, found)| found.content == content(number, *message)).count();
        BenchError::unless_all(usize::try_from(MESSAGES_A_CONVERSATION).unwrap_or_default(), as_stored)
    })
    .await?;
    Ok(conversations * MESSAGES_A_CONVERSATION)
}

/// Makes a call for each conversation, several at once.
async fn each(
    address: SocketAddr,
    conversations: u32,
    call: impl AsyncFn(Channel, u32) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let channel = clients::channel(address);
    stream::iter(0..conversations)
        .map(|number| call(channel.clone(), number))
        .buffer_unordered(CONCURRENT_CALLS)
        .try_for_each(|()| async { Ok(()) })
        .await
}
