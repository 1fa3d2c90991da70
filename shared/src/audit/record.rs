//! The record of one call, from its beginning to its line.

use std::{borrow::Cow, io::Read as _, net::SocketAddr, sync::Arc};

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use tonic::{Code, Status};

use super::{AuditLog, ids::Ids, line::Line};
use crate::{
    identity::{Audited, Identity, Rule},
    status,
};

/// gRPC's frame of a message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// What is to be written down of a call. Dropped before its end, because the caller has gone, it is written with the
/// code CANCELLED: what the call did may stand.
pub struct Record {
    log: Arc<AuditLog>,
    method: &'static str,
    rule: Rule,
    peer: SocketAddr,
    trace_id: Option<String>,
    began_at: DateTime<Utc>,
    identity: Option<Arc<Identity>>,
    request_ids: Ids,
    has_ended: bool,
}

impl Record {
    pub(super) fn new(
        log: Arc<AuditLog>,
        method: &'static str,
        rule: Rule,
        peer: SocketAddr,
        trace_id: Option<String>,
    ) -> Self {
        let (began_at, request_ids) = (Utc::now(), Ids::default());
        Self { log, method, rule, peer, trace_id, began_at, identity: None, request_ids, has_ended: false }
    }

    /// The caller is known.
    pub fn called_by(&mut self, identity: &Arc<Identity>) {
        self.identity = Some(Arc::clone(identity));
    }

    /// The request's message has arrived, framed as gRPC frames it.
    pub fn requested(&mut self, frame: &[u8]) {
        if self.rule.audited == Audited::No {
            return;
        }
        if let (Some(fields), Some(message)) = (self.log.ids.get(self.method), self.message(frame)) {
            fields.request.collect(&message, &mut self.request_ids);
        }
    }

    /// The call has ended with this status, or with this message, framed. Returns when the line is written, or does
    /// not get written in time.
    pub async fn ended(mut self, refusal: Option<&Status>, frame: &[u8]) {
        self.has_ended = true;
        let code = refusal.map_or(Code::Ok, Status::code);
        let mut answer_ids = Ids::default();
        if self.rule.audited != Audited::No
            && let (Some(fields), Some(message)) = (self.log.ids.get(self.method), self.message(frame))
        {
            fields.answer.collect(&message, &mut answer_ids);
        }
        let reason = refusal.map(status::reason);
        if let Some(line) = self.line(code, reason.as_deref(), &answer_ids) {
            self.log.writer.write(line).await;
        }
    }

    /// `None` when the call is not to be written down.
    fn line(&self, code: Code, reason: Option<&str>, answer_ids: &Ids) -> Option<Vec<u8>> {
        let suppressed = match code {
            Code::Unauthenticated => self.log.unauthenticated.now()?,
            Code::PermissionDenied => self.log.denied.now()?,
            _ if self.rule.audited == Audited::No => return None,
            // Refused before anybody knew who is calling.
            _ if self.log.needs_credentials && self.identity.is_none() && code != Code::Ok => {
                self.log.unauthenticated.now()?
            }
            _ => 0,
        };
        let line = Line {
            began_at: self.began_at,
            service: self.log.service,
            method: self.method,
            identity: self.identity.as_deref(),
            peer: self.peer,
            trace_id: self.trace_id.as_deref(),
            code: status::code_name(code),
            reason,
            request_ids: &self.request_ids,
            answer_ids,
            suppressed,
        };
        Some(line.to_json())
    }

    /// The message in a frame, unpacked.
    fn message<'a>(&self, frame: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let (head, message) = frame.split_at_checked(HEAD_BYTES)?;
        if head[0] == 0 {
            return Some(message.into());
        }
        let mut unpacked = Vec::new();
        let bytes_max = self.log.message_bytes_max as u64;
        // A message that is broken is refused by whoever decodes it; the ids before the break count.
        let _ = GzDecoder::new(message).take(bytes_max).read_to_end(&mut unpacked);
        Some(unpacked.into())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.has_ended
            && let Some(line) = self.line(Code::Cancelled, None, &Ids::default())
        {
            self.log.writer.write_later(line);
        }
    }
}
