//! StoreMessage, both ways.

use rand::Rng as _;
use teppan_shared::contract::conversation::v1::{
    StoreMessageRequest, conversation_service_client::ConversationServiceClient,
};
use teppan_tests::fixtures;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    case::{self, Rows, Run},
    create_booking::{TRACEPARENT, hex, sealed},
    error::BenchError,
    pgbench::Script,
    stage::Side,
};

const STATEMENT: &str = include_str!("../../../../conversation-service/src/messages/store.sql");
const CONTENT: &str = "Could we get a table for four on Saturday evening, please? One of us does not eat fish, \
                       and it would be lovely to sit close to the grill.";
const USER_ID: &str = "guest-0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";
/// The conversations that are written to when there are many.
const CONVERSATIONS: usize = 10_000;

/// The messages that a side has stored. `$1` is how its conversations begin.
pub const WRITTEN: &str =
    "SELECT COALESCE(sum(message_count), 0)::bigint FROM conversations WHERE conversation_id LIKE $1 || '%'";

/// Which conversations a side writes to.
#[derive(Clone)]
pub struct Target {
    side: Side,
    rows: Rows,
    run: Run,
}

/// How the ids of a side's conversations begin, all of the same length.
pub fn prefix(side: Side) -> &'static str {
    match side {
        Side::Pgbench => "chat-bare-",
        Side::Grpc => "chat-grpc-",
    }
}

impl Target {
    pub fn new(side: Side, rows: Rows, run: Run) -> Self {
        Self { side, rows, run }
    }

    /// A hot conversation is a new one in each run.
    fn hot_conversation(&self) -> usize {
        CONVERSATIONS + self.run.0
    }

    fn request(&self) -> StoreMessageRequest {
        let conversation = match self.rows {
            Rows::Many => rand::rng().random_range(0..CONVERSATIONS),
            Rows::One => self.hot_conversation(),
        };
        StoreMessageRequest {
            message_id: Uuid::now_v7().to_string(),
            user_id: USER_ID.to_owned(),
            ..fixtures::message(&format!("{}{conversation:027}", prefix(self.side)), CONTENT)
        }
    }

    /// One call: a new message.
    pub async fn call(self, channel: Channel) -> Result<(), BenchError> {
        let reply = ConversationServiceClient::new(channel).store_message(self.request()).await?;
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
                ":emotions_sealed::bytea",
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
        script.prelude = format!(
            "{}\\set conversation {}\n",
            case::new_id(),
            match self.rows {
                Rows::Many => format!("random(0, {})", CONVERSATIONS - 1),
                Rows::One => self.hot_conversation().to_string(),
            },
        );
        let emotion = self.request().emotion.unwrap_or_default();
        script.variables = vec![
            ("n", self.run.first_id()),
            ("prefix", prefix(self.side).to_owned()),
            ("user_hash", hex(&[0x5b; 32])),
            ("user_sealed", sealed(USER_ID)),
            ("channel", "WEB".to_owned()),
            ("role", "USER".to_owned()),
            ("content_sealed", sealed(CONTENT)),
            ("score", emotion.score.unwrap_or_default().to_string()),
            ("emotions_sealed", sealed(&format!("{}{}", emotion.label, emotion.detected.join(",")))),
            ("fingerprint", hex(&[0x5a; 32])),
            ("traceparent", TRACEPARENT.to_owned()),
        ];
        script
    }
}
