//! StoreMessages of ten messages beside StoreMessage of one.

use teppan_shared::contract::conversation::v1::{
    StoreMessagesRequest, conversation_service_client::ConversationServiceClient,
};
use tonic::transport::Channel;

use crate::{
    case::{Call, Case, Rows, Run, With},
    comparison::{Bound, Comparison, Subject, Target},
    error::BenchError,
    load::{self, Clients},
    measured::{Cpu, Measured},
    rounds::{Round, Rounds, Watch},
    side::Side,
    store_message,
};

pub const NAME: &str = "StoreMessages of 10, 1 client";
const MESSAGES: usize = 10;
/// How many times as long as one message ten may take.
const TIMES_MAX: f64 = 2.5;
const SIDES: [&str; 2] = ["one message", "ten messages"];
/// Its measurements have no ids of pgbench to keep apart.
const RUN: Run = Run(0);

/// Measures both in turns; `None` when no round was made.
pub async fn measure(rounds: usize, with: &With<'_>) -> Result<Option<Comparison>, BenchError> {
    let one = Case { call: Call::StoreMessage, rows: Rows::Many, clients: 1 };
    let round = async |round: Round| {
        if round.place.is_multiple_of(2) {
            let one = one.measure(Side::Teppan, RUN, with).await?;
            Ok(vec![one, ten(with).await?])
        } else {
            let ten = ten(with).await?;
            Ok(vec![one.measure(Side::Teppan, RUN, with).await?, ten])
        }
    };
    let rounds = Rounds::make(NAME, rounds, &Watch::over(with.server), round).await?;
    let subject = Subject { name: NAME.to_owned(), group: "StoreMessages".to_owned(), x: 10.0 };
    let target = Target { than: SIDES[0], bound: Bound::P50AtMostTimes(TIMES_MAX) };
    let compared = Comparison::new(subject, &SIDES, vec![target], &rounds);
    if let Some(compared) = &compared {
        println!("{compared}");
    }
    Ok(compared)
}

async fn ten(with: &With<'_>) -> Result<Measured, BenchError> {
    let served = &with.stage.conversation;
    served.settle().await?;
    let target = store_message::Target::new(Side::Teppan, Rows::Many, RUN);
    let before = Cpu::now(served, with.server);
    let clients = Clients { count: 1, connections: 1 };
    let call = move |channel| call(target.clone(), channel);
    let sample = load::run(served.process.grpc, clients, with.timing, call).await?;
    let cpu = before.zip(Cpu::now(served, with.server)).map(|(before, after)| before.until(&after, sample.calls));
    Ok(Measured { cpu, ..sample.figures().into() })
}

async fn call(target: store_message::Target, channel: Channel) -> Result<(), BenchError> {
    let (conversation_id, messages) = target.requests(MESSAGES);
    let request = StoreMessagesRequest { conversation_id, messages };
    let stored = ConversationServiceClient::new(channel).store_messages(request).await?.into_inner().results;
    BenchError::unless_all(MESSAGES, stored.len())
}
