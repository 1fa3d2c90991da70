//! StoreMessage: look the message up, count it in its conversation, insert it.

use chrono::{DateTime, Utc};
use conversation_service::domain::{Content, ConversationId, MessageId};
use sqlx::{Postgres, Transaction};
use teppan_shared::{
    clock::Clock,
    contract::conversation::v1::{
        Channel, Emotion, Message, Role, StoreMessageRequest, StoreMessageResponse,
        conversation_service_server::ConversationService,
    },
    fingerprint::optional,
    sealing::AssociatedData,
    wire::timestamp,
};
use tonic::{Request, Response, Status};

use crate::{
    Plain,
    error::{CallError, contended, key_reused},
    schedule::invalid,
};

/// A concurrent call with the same message id costs one more attempt, which finds its message.
const ATTEMPTS_MAX: usize = 4;

#[tonic::async_trait]
impl ConversationService for Plain {
    async fn store_message(
        &self,
        request: Request<StoreMessageRequest>,
    ) -> Result<Response<StoreMessageResponse>, Status> {
        let new = self.prepare_message(request.into_inner())?;
        for _ in 0..ATTEMPTS_MAX {
            match self.store(&new).await {
                Err(error) if error.violates("messages_pkey") => {}
                stored => return Ok(Response::new(new.encode(&stored?))),
            }
        }
        Err(contended())
    }
}

/// A message before it is stored.
struct NewMessage {
    request: StoreMessageRequest,
    message_id: MessageId,
    role: &'static str,
    channel: &'static str,
    content_sealed: Vec<u8>,
    emotions_sealed: Option<Vec<u8>>,
    user_hash: Option<Vec<u8>>,
    user_sealed: Option<Vec<u8>>,
    fingerprint: [u8; 32],
    now: DateTime<Utc>,
}

/// Where the message is, and since when.
#[derive(sqlx::FromRow)]
struct Stored {
    fingerprint: Vec<u8>,
    sequence: i64,
    sent_at: DateTime<Utc>,
    stored_at: DateTime<Utc>,
    #[sqlx(skip)]
    replayed: bool,
}

impl Plain {
    fn prepare_message(&self, request: StoreMessageRequest) -> Result<NewMessage, CallError> {
        let message_id = MessageId::parse(&request.message_id).map_err(invalid("message_id"))?;
        ConversationId::parse(request.conversation_id.clone()).map_err(invalid("conversation_id"))?;
        Content::parse(request.content.clone()).map_err(invalid("content"))?;
        let (role, channel) = (request.role(), request.channel());
        if role == Role::Unspecified || channel == Channel::Unspecified {
            return Err(invalid("role and channel")("must be given"));
        }
        let row = message_id.0;
        let seal = |column, plain: &[u8]| {
            self.ring.seal(AssociatedData { table: "messages", column, row: row.as_bytes() }, plain)
        };
        let user_id = (!request.user_id.is_empty()).then_some(request.user_id.as_str());
        let conversation = request.conversation_id.as_bytes();
        Ok(NewMessage {
            message_id,
            role: role.as_str_name().trim_start_matches("ROLE_"),
            channel: channel.as_str_name().trim_start_matches("CHANNEL_"),
            content_sealed: seal("content_sealed", request.content.as_bytes()),
            emotions_sealed: names_of(request.emotion.as_ref()).map(|names| seal("emotions_sealed", names.as_bytes())),
            user_hash: user_id.map(|user| self.lookup.hash([user.as_bytes()]).newest().to_vec()),
            user_sealed: user_id.map(|user| {
                let about = AssociatedData { table: "conversations", column: "user_sealed", row: conversation };
                self.ring.seal(about, user.as_bytes())
            }),
            fingerprint: self.fingerprint_of_message(&request),
            request,
            now: Clock::default().now(),
        })
    }

    /// The keyed hash of the call without its message id.
    fn fingerprint_of_message(&self, request: &StoreMessageRequest) -> [u8; 32] {
        let emotion = request.emotion.as_ref();
        let fields = [
            request.conversation_id.as_bytes().to_vec(),
            request.role.to_be_bytes().to_vec(),
            request.channel.to_be_bytes().to_vec(),
            request.content.as_bytes().to_vec(),
            request.user_id.as_bytes().to_vec(),
            optional(request.sent_at.map(|at| at.seconds.to_be_bytes())),
            optional(emotion.and_then(|emotion| emotion.score).map(f64::to_be_bytes)),
            optional(names_of(emotion)),
        ];
        *self.fingerprint.hash(fields.iter().map(Vec::as_slice)).newest()
    }

    async fn store(&self, new: &NewMessage) -> Result<Stored, CallError> {
        let mut transaction = self.pool.begin().await?;
        let prior: Option<Stored> =
            sqlx::query_as("SELECT fingerprint, sequence, sent_at, stored_at FROM messages WHERE message_id = $1")
                .bind(new.message_id.0)
                .fetch_optional(&mut *transaction)
                .await?;
        match prior {
            Some(prior) if prior.fingerprint == new.fingerprint => return Ok(Stored { replayed: true, ..prior }),
            Some(_) => return Err(key_reused().into()),
            None => {}
        }
        let sequence = new.count_in_conversation(&mut transaction).await?;
        let stored = new.insert(&mut transaction, sequence).await?;
        transaction.commit().await?;
        Ok(stored)
    }
}

impl NewMessage {
    /// The sequence of the message: the row's lock keeps others from taking the same one.
    async fn count_in_conversation(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<i64, CallError> {
        let sequence = sqlx::query_scalar(
            "INSERT INTO conversations AS c (conversation_id, user_hash, user_sealed, channel, message_count,
                 last_message_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 1, $5, $5, $5)
             ON CONFLICT (conversation_id) DO UPDATE
             SET message_count = c.message_count + 1,
                 user_hash = COALESCE(c.user_hash, EXCLUDED.user_hash),
                 user_sealed = COALESCE(c.user_sealed, EXCLUDED.user_sealed),
                 last_message_at = GREATEST(c.last_message_at, EXCLUDED.last_message_at),
                 updated_at = EXCLUDED.updated_at
             RETURNING message_count",
        )
        .bind(&self.request.conversation_id)
        .bind(&self.user_hash)
        .bind(&self.user_sealed)
        .bind(self.channel)
        .bind(self.now)
        .fetch_one(&mut **transaction)
        .await?;
        Ok(sequence)
    }

    async fn insert(&self, transaction: &mut Transaction<'_, Postgres>, sequence: i64) -> Result<Stored, CallError> {
        let sent_at = self.request.sent_at.and_then(|at| DateTime::from_timestamp(at.seconds, at.nanos.unsigned_abs()));
        let stored = sqlx::query_as(
            "INSERT INTO messages (message_id, conversation_id, sequence, role, channel, content_sealed, emotion_score,
                 emotions_sealed, sent_at, stored_at, fingerprint)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             RETURNING fingerprint, sequence, sent_at, stored_at",
        )
        .bind(self.message_id.0)
        .bind(&self.request.conversation_id)
        .bind(sequence)
        .bind(self.role)
        .bind(self.channel)
        .bind(&self.content_sealed)
        .bind(self.request.emotion.as_ref().and_then(|emotion| emotion.score))
        .bind(&self.emotions_sealed)
        .bind(sent_at.unwrap_or(self.now))
        .bind(self.now)
        .bind(&self.fingerprint[..])
        .fetch_one(&mut **transaction)
        .await?;
        Ok(stored)
    }

    fn encode(self, stored: &Stored) -> StoreMessageResponse {
        let StoreMessageRequest { conversation_id, role, content, channel, emotion, .. } = self.request;
        let message = Message {
            message_id: self.message_id.0.to_string(),
            conversation_id,
            sequence: stored.sequence,
            role,
            content,
            channel,
            emotion,
            sent_at: Some(timestamp(stored.sent_at)),
            stored_at: Some(timestamp(stored.stored_at)),
            ..Default::default()
        };
        StoreMessageResponse { message: Some(message), replayed: stored.replayed }
    }
}

/// The label and the detected emotions; `None` when none is named.
fn names_of(emotion: Option<&Emotion>) -> Option<String> {
    let named = emotion.filter(|it| !it.label.is_empty() || !it.detected.is_empty());
    named.map(|it| format!("{}\n{}", it.label, it.detected.join("\n")))
}
