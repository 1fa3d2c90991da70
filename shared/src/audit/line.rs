//! A line of the audit log.

use std::net::SocketAddr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::ids::Ids;
use crate::identity::{Identity, Role, Roles};

/// The content of a line. docs/operations.md describes its fields.
pub struct Line<'a> {
    pub began_at: DateTime<Utc>,
    pub service: &'static str,
    pub method: &'static str,
    pub identity: Option<&'a Identity>,
    pub peer: SocketAddr,
    pub trace_id: Option<&'a str>,
    pub code: &'static str,
    pub reason: Option<&'a str>,
    pub request_ids: &'a Ids,
    pub answer_ids: &'a Ids,
    pub suppressed: u64,
}

#[derive(Serialize)]
struct Json<'a> {
    timestamp: String,
    target: &'static str,
    service: &'static str,
    rpc: &'static str,
    who: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<&'static str>>,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Ids::is_empty")]
    request_ids: &'a Ids,
    #[serde(skip_serializing_if = "Ids::is_empty")]
    answer_ids: &'a Ids,
    peer: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    suppressed: u64,
}

impl Line<'_> {
    /// The line as JSON, with a newline at its end.
    pub fn to_json(&self) -> Vec<u8> {
        let names = |roles: Roles| roles.iter().map(Role::into).collect();
        let json = Json {
            timestamp: self.began_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            target: "audit",
            service: self.service,
            rpc: self.method,
            who: self.identity.map(|identity| &*identity.name),
            credential: self.identity.map(|identity| identity.proof.into_str()),
            roles: self.identity.map(|identity| names(identity.roles)),
            code: self.code,
            reason: self.reason,
            request_ids: self.request_ids,
            answer_ids: self.answer_ids,
            peer: self.peer,
            trace_id: self.trace_id,
            suppressed: self.suppressed,
        };
        let mut line = serde_json::to_vec(&json).expect("its keys are strings");
        line.push(b'\n');
        line
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
