//! The database of a service.

use std::time::Duration;

use secrecy::SecretString;

use super::{Definition, StartError};
use crate::{
    config::{CommonSettings, DatabaseChoice},
    embedded::{SharedServer, prepare_home},
    error_chain::error_chain,
    keys::Keys,
    postgres::{Database, DatabaseSettings},
};

/// A statement may take a little longer than a call, so that the call's own timeout fires first.
const STATEMENT_MARGIN: Duration = Duration::from_secs(1);

/// The database of the settings, with its keys. If the settings name no database, it is that of the private server,
/// which is started.
pub struct OpenDatabase {
    pub database: Database,
    pub keys: Keys,
    pub(super) private_server: Option<SharedServer>,
}

impl OpenDatabase {
    /// # Errors
    /// [`StartError`]. An unavailable database is no error, because only the first statement connects.
    pub async fn open(definition: &Definition, settings: &CommonSettings) -> Result<Self, StartError> {
        if let DatabaseChoice::Embedded(home) = &settings.database {
            prepare_home(home)?;
        }
        // Before the server creates its data: keys are created only if there are no data.
        let keys = settings.keys.open()?;
        let (url, private_server) = match &settings.database {
            DatabaseChoice::Url(url) => (url.clone(), None),
            DatabaseChoice::Embedded(home) => {
                let server = SharedServer::start(home).await?;
                if let Err(error) = server.ensure_database(definition.database).await {
                    stop_private(server).await;
                    return Err(error.into());
                }
                (server.url(definition.database), Some(server))
            }
        };
        let database = Database::new(&database_settings(definition, url, settings), definition.hot_statements);
        let database = database.map_err(StartError::Database)?;
        Ok(Self { database, keys, private_server })
    }

    /// Closes the connections, and stops the private server if no other process uses it.
    pub async fn close(self) {
        self.database.close().await;
        if let Some(server) = self.private_server {
            stop_private(server).await;
        }
    }
}

async fn stop_private(server: SharedServer) {
    if let Err(error) = server.stop().await {
        tracing::warn!(error = error_chain(&error), "stopping the private PostgreSQL failed");
    }
}

fn database_settings(definition: &Definition, url: SecretString, settings: &CommonSettings) -> DatabaseSettings {
    DatabaseSettings {
        name: definition.name,
        url,
        max_connections: settings.database_limits.max_connections,
        min_connections: settings.database_limits.min_connections,
        acquire_timeout: settings.database_limits.acquire_timeout,
        statement_timeout: settings.server.request_timeout + STATEMENT_MARGIN,
    }
}
