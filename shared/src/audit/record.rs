//! The audit record of one call.

use std::{borrow::Cow, io::Read as _, net::SocketAddr, sync::Arc};

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use tonic::{Code, Status};

use super::{AuditLog, ids::Ids, line::Line};
use crate::{
    identity::{Audited, Identity, Rule},
    status,
};

/// The header of a gRPC message: the compression flag and the length.
const HEAD_BYTES: usize = 5;

/// The audit record of a call. If it is dropped before the call ends, because the caller disconnected, a line with the
/// code CANCELLED is written: the call may have had an effect.
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

    /// Adds the authenticated caller.
    pub fn called_by(&mut self, identity: &Arc<Identity>) {
        self.identity = Some(Arc::clone(identity));
    }

    /// Adds the ids of the request's message, which still has its gRPC header.
    pub fn requested(&mut self, frame: &[u8]) {
        if self.rule.audited == Audited::No {
            return;
        }
        if let (Some(fields), Some(message)) = (self.log.ids.get(self.method), self.message(frame)) {
            fields.request.collect(&message, &mut self.request_ids);
        }
    }

    /// Ends the record with this status, or with this message, which still has its gRPC header. Returns when the line
    /// was written, or when that takes too long.
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

    /// `None` when the call does not go into the audit log.
    fn line(&self, code: Code, reason: Option<&str>, answer_ids: &Ids) -> Option<Vec<u8>> {
        let suppressed = match code {
            Code::Unauthenticated => self.log.unauthenticated.admit()?,
            Code::PermissionDenied => self.log.denied.admit()?,
            _ if self.rule.audited == Audited::No => return None,
            // Refused before the caller was authenticated.
            _ if self.log.needs_credentials && self.identity.is_none() && code != Code::Ok => {
                self.log.unauthenticated.admit()?
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

    /// The decompressed message of a frame.
    fn message<'a>(&self, frame: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let (head, message) = frame.split_at_checked(HEAD_BYTES)?;
        if head[0] == 0 {
            return Some(message.into());
        }
        let mut unpacked = Vec::new();
        let bytes_max = self.log.message_bytes_max as u64;
        // The decoder of the call refuses a broken message. The ids before the error count.
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
