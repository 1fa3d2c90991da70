//! StoreMessage, both ways.

use std::time::Duration;

use rand::Rng as _;
use teppan_shared::contract::conversation::v1::{
    Emotion, StoreMessageRequest, conversation_service_client::ConversationServiceClient,
};
use teppan_tests::fixtures;
use tonic::{Request, transport::Channel};
use uuid::Uuid;

use crate::{
    case::{self, Rows, Run},
    create_booking::{TRACEPARENT, hex, sealed},
    error::BenchError,
    pgbench::Script,
    side::Side,
};

const STATEMENT: &str = include_str!("../../../../conversation-service/src/messages/store.sql");
const CONTENT: &str = "Could we get a table for four on Saturday evening, please? One of us does not eat fish, \
                       and it would be lovely to sit close to the grill.";
const SCORE: f64 = 0.7;
const USER_ID: &str = "guest-0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";
/// The conversations that are written to when there are many.
const CONVERSATIONS: usize = 10_000;

/// The messages that a side has stored. `$1` is how its conversations begin.
pub const WRITTEN: &str =
    "SELECT COALESCE(sum(message_count), 0)::bigint FROM conversations WHERE conversation_id LIKE $1 || '%'";

/// Which conversations a side writes to.
#[derive(Clone)]
pub struct Target {
    prefix: &'static str,
    /// The numbers of the conversations.
    first: usize,
    last: usize,
    run: Run,
}

/// How the ids of a side's conversations begin, all of the same length.
pub fn prefix(side: Side) -> &'static str {
    match side {
        Side::Floor | Side::Pgbench => "chat-bare-",
        Side::Plain | Side::Teppan => "chat-grpc-",
    }
}

impl Target {
    /// A hot conversation is a new one in each run.
    pub fn new(side: Side, rows: Rows, run: Run) -> Self {
        let (first, last) = match rows {
            Rows::Many => (0, CONVERSATIONS - 1),
            Rows::One => (CONVERSATIONS + run.0, CONVERSATIONS + run.0),
        };
        Self { prefix: prefix(side), first, last, run }
    }

    /// Any of the conversations with these numbers.
    pub fn among(prefix: &'static str, (first, last): (usize, usize), run: Run) -> Self {
        Self { prefix, first, last, run }
    }

    fn request(&self) -> StoreMessageRequest {
        request(&self.conversation())
    }

    /// One of the conversations, and so many new messages of it.
    pub fn requests(&self, count: usize) -> (String, Vec<StoreMessageRequest>) {
        let conversation_id = self.conversation();
        let messages = (0..count).map(|_| request(&conversation_id)).collect();
        (conversation_id, messages)
    }

    fn conversation(&self) -> String {
        format!("{}{:027}", self.prefix, rand::rng().random_range(self.first..=self.last))
    }

    /// One call: a new message.
    pub async fn call(self, channel: Channel) -> Result<(), BenchError> {
        self.send(Request::new(self.request()), channel).await
    }

    /// [`Self::call`] with a deadline.
    pub async fn call_within(self, timeout: Duration, channel: Channel) -> Result<(), BenchError> {
        let mut request = Request::new(self.request());
        request.set_timeout(timeout);
        self.send(request, channel).await
    }

    async fn send(&self, request: Request<StoreMessageRequest>, channel: Channel) -> Result<(), BenchError> {
        let reply = ConversationServiceClient::new(channel).store_message(request).await?;
        if reply.get_ref().replayed { Err(BenchError::Replayed) } else { Ok(()) }
    }

    /// The same as a script: values as long as those the service sends, ids new in each call and
    /// rising like the clients' own.
    pub fn script(&self) -> Script {
        let mut script = Script::new(
            STATEMENT,
            &[
                "lpad(to_hex(:id::bigint), 32, '0')::uuid",
                ":prefix::text || lpad(:conversation::text, 27, '0')",
                ":user_hash::bytea",
                ":channel::text",
                "now()",
                "now()",
                ":role::text",
                ":content_sealed::bytea",
                ":score::double precision",
                "true",
                "NULL::bytea",
                "NULL::bytea",
                "NULL::integer",
                "NULL::integer",
                ":fingerprint::bytea",
                ":traceparent::text",
                // when a guest who goes quiet is looked after; as long as the service's default has it
                "now() + interval '24 hours'",
                ":user_sealed::bytea",
            ],
        );
        let conversation = format!("\\set conversation random({}, {})\n", self.first, self.last);
        script.prelude = case::new_id() + &conversation;
        script.variables = vec![
            ("n", self.run.first_id()),
            ("prefix", self.prefix.to_owned()),
            ("user_hash", hex(&[0x5b; 32])),
            ("user_sealed", sealed(USER_ID)),
            ("channel", "WEB".to_owned()),
            ("role", "USER".to_owned()),
            ("content_sealed", sealed(CONTENT)),
            ("score", SCORE.to_string()),
            ("fingerprint", hex(&[0x5a; 32])),
            ("traceparent", TRACEPARENT.to_owned()),
        ];
        script
    }
}

/// A new message of the conversation.
fn request(conversation_id: &str) -> StoreMessageRequest {
    StoreMessageRequest {
        message_id: Uuid::now_v7().to_string(),
        user_id: USER_ID.to_owned(),
        // Without the names of emotions: pgbench could not seal them so that the service opens them when it counts.
        emotion: Some(Emotion { score: Some(SCORE), ..Default::default() }),
        ..fixtures::message(conversation_id, CONTENT)
    }
}
