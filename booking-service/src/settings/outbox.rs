use std::{path::PathBuf, time::Duration};

use clap::Args;
use teppan_shared::{
    config::{Problems, is_loopback},
    identity::OutgoingToken,
    nats::NatsArgs,
    outbox::RelayArgs,
    reloaded::NamedFile,
    tls::ClientTlsSettings,
};

use crate::outbox::{CONVERSATION_SERVICE, FollowUpScheduling, OutboxSettings};

/// Settings of the outbox as they are given.
#[derive(Args)]
pub(super) struct OutboxArgs {
    /// When the follow-up of a new booking is scheduled: background (soon after the reply) or inline (before it)
    #[arg(long, env = "FOLLOW_UP_SCHEDULING", hide_env_values = true, default_value = "background", global = true)]
    follow_up_scheduling: String,
    /// Address of conversation-service, where follow-ups are scheduled. https:// encrypts, and checks its certificate
    #[arg(
        long,
        env = "CONVERSATION_SERVICE_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:50052",
        value_name = "URL",
        global = true
    )]
    conversation_service_url: String,
    /// File of the certificate authorities, in PEM, that may sign the certificate of conversation-service; without it
    /// those that the machine trusts. It is read anew when it changes, and so are the two files below
    #[arg(long, env = "CONVERSATION_SERVICE_CA_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    conversation_service_ca_file: Option<PathBuf>,
    /// File of the certificate, with its intermediates, in PEM, that this service shows to conversation-service
    #[arg(
        long,
        env = "CONVERSATION_SERVICE_CERTIFICATE_FILE",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    conversation_service_certificate_file: Option<PathBuf>,
    /// File of the private key of CONVERSATION_SERVICE_CERTIFICATE_FILE, in PEM
    #[arg(long, env = "CONVERSATION_SERVICE_KEY_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    conversation_service_key_file: Option<PathBuf>,
    /// Token that is shown to conversation-service, with the role orchestrator there
    #[arg(long, env = "CONVERSATION_SERVICE_TOKEN", hide_env_values = true, value_name = "TOKEN", global = true)]
    conversation_service_token: Option<String>,
    /// File that holds CONVERSATION_SERVICE_TOKEN; it is read anew when it changes
    #[arg(long, env = "CONVERSATION_SERVICE_TOKEN_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    conversation_service_token_file: Option<PathBuf>,
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    relay: RelayArgs,
}

impl OutboxArgs {
    /// `None` when something was wrong, which `problems` then names.
    pub(super) fn parse(&self, allow_insecure: bool, problems: &mut Problems) -> Option<OutboxSettings> {
        let follow_ups = match self.follow_up_scheduling.as_str() {
            "background" => Some(FollowUpScheduling::Background),
            "inline" => Some(FollowUpScheduling::Inline),
            _ => {
                problems.add("FOLLOW_UP_SCHEDULING", "must be background or inline");
                None
            }
        };
        let url = self.conversation_service_url(allow_insecure, problems);
        let tls = url.as_ref().and_then(|url| self.conversation_service_tls(url, problems));
        let token = OutgoingToken::parse(
            ("CONVERSATION_SERVICE_TOKEN", self.conversation_service_token.as_deref()),
            ("CONVERSATION_SERVICE_TOKEN_FILE", self.conversation_service_token_file.as_deref()),
            problems,
        );
        let nats = self.nats.parse(allow_insecure, problems);
        let relay = self.relay.parse(problems);
        Some(OutboxSettings {
            follow_ups: follow_ups?,
            conversation_service_url: url?,
            conversation_service_tls: tls?,
            conversation_service_token: token?,
            nats: nats?,
            relay: relay?,
        })
    }

    fn conversation_service_url(&self, allow_insecure: bool, problems: &mut Problems) -> Option<http::Uri> {
        const NAME: &str = "CONVERSATION_SERVICE_URL";
        let url = self.conversation_service_url.trim().parse::<http::Uri>().ok();
        let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
        match &url {
            None => problems.add(NAME, "must be a URL such as http://127.0.0.1:50052"),
            Some(url) if is_encrypted(url) || url.host().is_some_and(is_loopback) || allow_insecure => {}
            Some(_) => problems.add(
                NAME,
                "leads to another machine without encryption: use https://, or set ALLOW_INSECURE=true where something \
                 in between, such as a mesh, encrypts",
            ),
        }
        url
    }

    fn conversation_service_tls(&self, url: &http::Uri, problems: &mut Problems) -> Option<ClientTlsSettings> {
        let file = |setting, path: &Option<PathBuf>| {
            let path = path.clone().filter(|path| !path.as_os_str().is_empty());
            path.map(|path| NamedFile { setting, path })
        };
        let authorities = file("CONVERSATION_SERVICE_CA_FILE", &self.conversation_service_ca_file);
        let certificate = file("CONVERSATION_SERVICE_CERTIFICATE_FILE", &self.conversation_service_certificate_file);
        let key = file("CONVERSATION_SERVICE_KEY_FILE", &self.conversation_service_key_file);
        if !is_encrypted(url) {
            for file in [&authorities, &certificate, &key].into_iter().flatten() {
                problems.add(file.setting, "is of no use without https:// in CONVERSATION_SERVICE_URL");
            }
            return Some(ClientTlsSettings::default());
        }
        let pair = problems
            .both(("CONVERSATION_SERVICE_CERTIFICATE_FILE", certificate), ("CONVERSATION_SERVICE_KEY_FILE", key))?;
        let settings = ClientTlsSettings { authorities, pair };
        // The files are read once more when the service starts.
        if let Err(fault) = settings.open(CONVERSATION_SERVICE) {
            problems.add(fault.setting, fault.problem);
            return None;
        }
        Some(settings)
    }
}

fn is_encrypted(url: &http::Uri) -> bool {
    url.scheme_str() == Some("https")
}

/// Never shorter than a client may retry.
pub(super) fn parse_keep(raw: &str, problems: &mut Problems) -> Option<Duration> {
    problems.number("IDEMPOTENCY_KEEP_HOURS", raw, "hours", 72, 87_600).map(Duration::from_hours)
}
