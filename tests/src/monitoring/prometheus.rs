use std::{io, net::SocketAddr};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    program::{Program, ProgramError},
    rules::{self, Addresses, Pace},
};
use crate::stripe::exchange;

/// A query failed.
#[derive(Debug, thiserror::Error)]
#[error("Prometheus refuses `{query}`: {reason}")]
pub struct QueryError {
    query: String,
    reason: String,
}

/// A running Prometheus with the project's configuration and rules. Dropping it removes its data.
pub struct Prometheus {
    program: Program,
    _folder: TempDir,
}

/// A rule as Prometheus reports it.
#[derive(Debug, Deserialize)]
pub struct Rule {
    #[serde(rename = "type")]
    pub kind: RuleKind,
    pub name: String,
    pub query: String,
    #[serde(default)]
    pub labels: serde_json::Map<String, Value>,
    #[serde(default)]
    pub annotations: serde_json::Map<String, Value>,
}

/// The effect of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    Alerting,
    Recording,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

impl Prometheus {
    /// Starts a Prometheus that uses these addresses instead of those in its configuration, and also these
    /// `scrape_configs`.
    pub async fn start(addresses: Addresses<'_>, also_scraped: &str, pace: Pace) -> Result<Self, ProgramError> {
        let folder = tempfile::tempdir()?;
        rules::write_prometheus(folder.path(), addresses, also_scraped, pace)?;
        let arguments = [
            format!("--config.file={}", folder.path().join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            "--enable-feature=exemplar-storage".to_owned(),
        ];
        let program = Program::start("prometheus", folder.path(), &arguments).await?;
        Ok(Self { program, _folder: folder })
    }

    pub fn address(&self) -> SocketAddr {
        self.program.address
    }

    pub async fn stop(self) {
        self.program.stop().await;
    }

    /// The URL of a web page, such as `alerts`. Debian's Prometheus has the classic pages only.
    pub async fn page(&self, name: &str) -> String {
        let address = self.address();
        let (code, _) = exchange(address, format!("GET /{name} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await;
        let folder = if code == 404 { "classic/" } else { "" };
        format!("http://{address}/{folder}{name}")
    }

    /// The number of series that an expression has now.
    pub async fn count(&self, expression: &str) -> Result<usize, QueryError> {
        let data = self.ask("query", &[("query", expression)], expression).await?;
        Ok(match data["resultType"].as_str() {
            Some("scalar") => 1,
            _ => data["result"].as_array().map_or(0, Vec::len),
        })
    }

    /// Whether a selector has or had any series.
    pub async fn has_series(&self, selector: &str) -> Result<bool, QueryError> {
        let data = self.ask("series", &[("match[]", selector)], selector).await?;
        Ok(data.as_array().is_some_and(|series| !series.is_empty()))
    }

    /// Every rule, in the order of the files.
    pub async fn rules(&self) -> Result<Vec<Rule>, QueryError> {
        let data = self.ask("rules", &[], "rules").await?;
        let groups = serde_json::from_value::<Groups>(data);
        let groups = groups.map_err(|error| QueryError { query: "rules".to_owned(), reason: error.to_string() })?;
        Ok(groups.groups.into_iter().flat_map(|group| group.rules).collect())
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)], query: &str) -> Result<Value, QueryError> {
        let answer = get(self.address(), &format!("/api/v1/{what}"), parameters).await;
        let failed = |reason: String| QueryError { query: query.to_owned(), reason };
        let mut answer = answer.map_err(|error| failed(error.to_string()))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(failed(answer["error"].to_string())),
        }
    }
}

/// The JSON at a path.
pub async fn get(address: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> io::Result<Value> {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let parameters = parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let path = format!("{path}?{}", parameters.collect::<Vec<_>>().join("&"));
    // With HTTP/1.0 the answer is not chunked, and ends with the connection.
    let (_, body) = exchange(address, format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await;
    Ok(serde_json::from_str(&body)?)
}
