use std::{io, net::SocketAddr};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    program::{Program, ProgramError},
    prometheus,
    rules::{self, Pace},
};

/// A running Alertmanager with the project's configuration, which sends no notifications.
pub struct Alertmanager {
    program: Program,
    _folder: TempDir,
}

/// An alert that fires.
#[derive(Debug, Deserialize)]
pub struct Alert {
    pub labels: serde_json::Map<String, Value>,
    pub annotations: serde_json::Map<String, Value>,
    pub receivers: Vec<Receiver>,
}

/// The receiver that would be notified.
#[derive(Debug, Deserialize)]
pub struct Receiver {
    pub name: String,
}

impl Alert {
    pub fn name(&self) -> &str {
        self.label("alertname")
    }

    /// The value of a label, empty when it has none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Alertmanager {
    pub async fn start(pace: Pace) -> Result<Self, ProgramError> {
        let folder = tempfile::tempdir()?;
        rules::write_alertmanager(folder.path(), pace)?;
        let arguments = [
            format!("--config.file={}", folder.path().join("alertmanager.yml").display()),
            format!("--storage.path={}", folder.path().join("data").display()),
            // A single instance, without a cluster.
            "--cluster.listen-address=".to_owned(),
        ];
        let program = Program::start("alertmanager", folder.path(), &arguments).await?;
        Ok(Self { program, _folder: folder })
    }

    pub fn address(&self) -> SocketAddr {
        self.program.address
    }

    pub async fn stop(self) {
        self.program.stop().await;
    }

    /// The alerts that fire and are not inhibited.
    pub async fn alerts(&self) -> io::Result<Vec<Alert>> {
        alerts(self.address()).await
    }
}

/// The alerts that fire at an Alertmanager, and are not inhibited.
pub async fn alerts(address: SocketAddr) -> io::Result<Vec<Alert>> {
    let alerts = prometheus::get(address, "/api/v2/alerts", &[("active", "true"), ("inhibited", "false")]).await?;
    Ok(serde_json::from_value(alerts)?)
}
