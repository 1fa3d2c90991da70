//! A replica of each service with TLS, credentials and an audit log, whose metrics the plain replicas do not have.

use std::collections::HashMap;

use secrecy::SecretString;
use teppan_tests::{
    authority::{Authority, Mounted},
    callers::{self, Callers},
    harness::{self, eventually},
    launch::{Process, Which},
    token_issuer::{AUDIENCE, ISSUER, KeySetServer, key_set},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tonic::transport::Endpoint;

use crate::environment;

/// One replica of each service, both with TLS and credentials.
pub struct Secured {
    replicas: [(Which, Process); 2],
    authority: Authority,
    files: Mounted,
    _callers: Callers,
    _issuer: KeySetServer,
}

impl Secured {
    /// Starts both replicas, each over its own database. The key set of their issuer cannot be fetched, and their audit
    /// logs cannot be written.
    pub async fn start() -> Self {
        let authority = Authority::new("monitoring");
        let files = Mounted::new(&authority.server(), &authority.pem());
        let (callers, issuer) = (Callers::default(), KeySetServer::start(key_set(&[])).await);
        issuer.fail(true);
        let start = async |which, url: SecretString| {
            let own = [
                ("TLS_CERTIFICATE_FILE", files.certificate().display().to_string()),
                ("TLS_KEY_FILE", files.key().display().to_string()),
                ("CREDENTIALS_FILE", callers.path().display().to_string()),
                ("OIDC_ISSUER", ISSUER.to_owned()),
                ("OIDC_AUDIENCE", AUDIENCE.to_owned()),
                ("OIDC_KEY_SET", issuer.url()),
                ("AUDIT_LOG", "/dev/full".to_owned()),
            ];
            let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
            let environment: HashMap<_, _> = environment::with_keys(&url).chain(own).collect();
            (which, Process::start(which, &environment).await.unwrap_or_else(|error| panic!("{error}")))
        };
        let booking = harness::database(&booking_service::app::DEFINITION).await;
        let conversation = harness::database(&conversation_service::app::DEFINITION).await;
        let replicas = [start(Which::Booking, booking).await, start(Which::Conversation, conversation).await];
        Self { replicas, authority, files, _callers: callers, _issuer: issuer }
    }

    /// The Prometheus jobs that scrape the replicas, as YAML.
    pub fn scrape_configs(&self) -> String {
        let authorities = self.files.authorities();
        let job = |(which, process): &(Which, Process)| {
            let (name, address) = (which.binary(), process.http);
            format!(
                "  - job_name: secured-{name}\n    scheme: https\n    tls_config:\n      ca_file: {}\n    \
                 static_configs:\n      - targets: [\"{address}\"]\n",
                authorities.display()
            )
        };
        self.replicas.iter().map(job).collect()
    }

    /// Calls each replica once without credentials and once without TLS.
    pub async fn call_without_credentials_and_without_tls(&self) {
        for (which, process) in &self.replicas {
            let method = match which {
                Which::Booking => "teppan.booking.v1.ScheduleService/ListVenues",
                Which::Conversation => "teppan.conversation.v1.ConversationService/StoreMessage",
            };
            let endpoint = Endpoint::from_shared(format!("https://{}", process.grpc)).expect("a URL");
            let channel = endpoint.tls_config(self.authority.client_tls(None)).expect("TLS").connect_lazy();
            eventually("the call without credentials is refused", async || {
                callers::reason(&callers::call(&channel, method, None).await).0 == "CREDENTIALS_MISSING"
            })
            .await;
            let mut plain = TcpStream::connect(process.grpc).await.expect("it listens");
            plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        }
    }

    pub async fn stop(self) {
        for (_, process) in self.replicas {
            process.stop().await;
        }
    }
}
