//! The token that one service sends to the other.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};

use crate::{
    config::Problems,
    reloaded::{FileFault, NamedFile, Reloaded},
};

const BYTES_MAX: usize = 8 * 1024;

/// A bearer token for outgoing calls. Cheap to clone.
#[derive(Clone)]
pub struct OutgoingToken(Source);

#[derive(Clone)]
enum Source {
    Given(MetadataValue<Ascii>),
    File(Arc<Reloaded<MetadataValue<Ascii>>>),
}

impl fmt::Debug for OutgoingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutgoingToken")
    }
}

impl OutgoingToken {
    /// The token of a setting, given directly or in a file. `None` when a setting is invalid; `problems` then has the
    /// reason.
    pub fn parse(
        (name, value): (&'static str, Option<&str>),
        (file_name, file): (&'static str, Option<&Path>),
        problems: &mut Problems,
    ) -> Option<Option<Self>> {
        let value = value.filter(|value| !value.trim().is_empty());
        match (value, file.filter(|file| !file.as_os_str().is_empty())) {
            (None, None) => Some(None),
            (Some(_), Some(_)) => {
                problems.add(name, format!("give it directly or through {file_name}, not both"));
                None
            }
            (Some(_), None) => {
                let token = problems.secret(name, value, None)?;
                let authorization =
                    authorization(token.expose_secret()).map_err(|must| problems.add(name, must)).ok()?;
                Some(Some(Self(Source::Given(authorization))))
            }
            (None, Some(path)) => {
                let file = NamedFile { setting: file_name, path: path.to_owned() };
                let opened = Reloaded::open("conversation-service-token", vec![file], move |contents| {
                    let token = contents.first().and_then(|content| str::from_utf8(content).ok()).unwrap_or_default();
                    authorization(token).map_err(|must| FileFault::new(file_name, must))
                });
                let opened = opened.map_err(|fault| problems.add(fault.setting, fault.problem)).ok()?;
                Some(Some(Self(Source::File(Arc::new(opened)))))
            }
        }
    }

    /// The value of the header `authorization`.
    pub fn authorization(&self) -> MetadataValue<Ascii> {
        match &self.0 {
            Source::Given(authorization) => authorization.clone(),
            Source::File(file) => file.current().as_ref().clone(),
        }
    }

    /// Reads the file again when it changes, until `stopping` is cancelled. Without a file it returns at once.
    pub async fn follow(self, interval: Duration, stopping: CancellationToken) {
        if let Source::File(file) = self.0 {
            file.follow(interval, stopping).await;
        }
    }
}

fn authorization(token: &str) -> Result<MetadataValue<Ascii>, &'static str> {
    let token = token.trim();
    let is_token = !token.is_empty() && token.len() <= BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
    let authorization = is_token.then(|| format!("Bearer {token}").parse::<MetadataValue<Ascii>>().ok()).flatten();
    let mut authorization = authorization.ok_or("must be one token, of printable ASCII characters")?;
    // Keeps the value out of logs and out of the HTTP/2 header compression table.
    authorization.set_sensitive(true);
    Ok(authorization)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        assert_eq!(authorization(" teppan_x\n"), Ok("Bearer teppan_x".parse().expect("a value")));
        for wrong in ["", " ", "two words", "a\nb", "käse"] {
            assert!(authorization(wrong).is_err(), "{wrong:?}");
        }
        assert!(authorization("x").is_ok_and(|value| value.is_sensitive()));
    }
}
