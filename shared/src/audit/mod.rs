//! The audit log: one line of JSON for each change and each read of personal data. A line has the caller, the method,
//! the ids and the result. It never contains contents or personal data.

mod ids;
mod limiter;
mod line;
mod record;
mod writer;

use std::{collections::HashMap, io, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};

pub use self::record::Record;
use self::{ids::MethodIds, limiter::Limiter, writer::Writer};
use crate::{identity::Rule, tasks::Tasks};

/// The destination of the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AuditTarget {
    #[default]
    Off,
    Stderr,
    Stdout,
    File(PathBuf),
}

/// A text is not a valid destination of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be off, stderr, stdout, or the path of a file, with a slash in it")]
pub struct NotATarget;

impl FromStr for AuditTarget {
    type Err = NotATarget;

    /// A word without a slash counts as misspelt, and not as a file in the current folder.
    fn from_str(raw: &str) -> Result<Self, NotATarget> {
        match raw {
            "off" => Ok(Self::Off),
            "stderr" => Ok(Self::Stderr),
            "stdout" => Ok(Self::Stdout),
            path if path.contains('/') && !path.ends_with('/') => Ok(Self::File(path.into())),
            _ => Err(NotATarget),
        }
    }
}

/// The audit log of a server.
pub struct AuditLog {
    service: &'static str,
    writer: Writer,
    /// Whether callers need credentials.
    needs_credentials: bool,
    ids: HashMap<&'static str, MethodIds>,
    /// The largest message that is decompressed to extract ids.
    message_bytes_max: usize,
    /// Limits lines about unauthenticated callers.
    unauthenticated: Limiter,
    /// Limits lines about authenticated callers without the role.
    denied: Limiter,
}

impl AuditLog {
    /// `None` when the audit log is off.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub async fn start(
        service: &'static str,
        target: &AuditTarget,
        needs_credentials: bool,
        message_bytes_max: usize,
        background: &Tasks,
    ) -> io::Result<Option<Arc<Self>>> {
        let Some(writer) = Writer::start(target, background).await? else { return Ok(None) };
        let ids = MethodIds::of_all_methods();
        let (unauthenticated, denied) = (Limiter::default(), Limiter::default());
        Ok(Some(Arc::new(Self { service, writer, needs_credentials, ids, message_bytes_max, unauthenticated, denied })))
    }

    /// Begins the record of a call.
    pub fn record(
        self: &Arc<Self>,
        method: &'static str,
        rule: Rule,
        peer: SocketAddr,
        trace_id: Option<String>,
    ) -> Record {
        Record::new(Arc::clone(self), method, rule, peer, trace_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_of_three_words_or_a_path() {
        assert_eq!("off".parse(), Ok(AuditTarget::Off));
        assert_eq!("stdout".parse(), Ok(AuditTarget::Stdout));
        assert_eq!("./audit.log".parse(), Ok(AuditTarget::File("./audit.log".into())));
        for wrong in ["", "stder", "audit.log", "/var/log/", "on"] {
            assert_eq!(wrong.parse::<AuditTarget>(), Err(NotATarget), "{wrong:?}");
        }
    }
}
