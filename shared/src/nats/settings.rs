//! The settings of NATS: its servers and the login. The client library does not read a login from a URL, so this module
//! extracts it.

use std::{
    io,
    path::{Path, PathBuf},
};

use async_nats::{ConnectOptions, ServerAddr};
use clap::Args;
use percent_encoding::percent_decode_str;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    config::{Problems, is_loopback},
    tls::pem::{Pair, PairNames},
};

/// The NATS servers and the stream to which events are published.
#[derive(Debug, Clone, Default)]
pub struct NatsSettings {
    /// May name several servers of one cluster, separated by commas, and the login that they share: user and
    /// password, or a token.
    pub url: SecretString,
    /// Instead of a login in the URL.
    pub token: Option<SecretString>,
    /// Instead of a login in the URL: a JWT with its seed, or the seed of an nkey.
    pub credentials: Option<SecretString>,
    /// The authorities that may sign the servers' certificates, instead of those the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// The files of this process's certificate and its key.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// Whether plaintext may go to servers on other machines.
    pub allow_insecure: bool,
    /// The stream. It is made when it does not exist.
    pub stream: String,
}

/// The settings of NATS, not yet validated.
#[derive(Args)]
pub struct NatsArgs {
    /// NATS servers with JetStream, as nats://user:password@host:port or nats://token@host:port, separated by commas;
    /// tls:// encrypts, and servers on other machines must encrypt in any case. When it is set, every new event is
    /// published there
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL", global = true)]
    nats_url: Option<String>,
    /// File that holds NATS_URL
    #[arg(long, env = "NATS_URL_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    nats_url_file: Option<PathBuf>,
    /// Token to log in to NATS with
    #[arg(long, env = "NATS_TOKEN", hide_env_values = true, value_name = "TOKEN", global = true)]
    nats_token: Option<String>,
    /// File that holds NATS_TOKEN
    #[arg(long, env = "NATS_TOKEN_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    nats_token_file: Option<PathBuf>,
    /// Credentials to log in to NATS with: the text of a .creds file, or the seed of an nkey
    #[arg(long, env = "NATS_CREDENTIALS", hide_env_values = true, value_name = "CREDENTIALS", global = true)]
    nats_credentials: Option<String>,
    /// File that holds NATS_CREDENTIALS
    #[arg(long, env = "NATS_CREDENTIALS_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    nats_credentials_file: Option<PathBuf>,
    /// File of the certificate authorities, in PEM, that may sign the certificates of NATS servers; without it those
    /// that the machine trusts
    #[arg(long, env = "NATS_CA_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    nats_ca_file: Option<PathBuf>,
    /// File of the certificate, with its intermediates, in PEM, that this service sends to NATS servers
    #[arg(long, env = "NATS_CERTIFICATE_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    nats_certificate_file: Option<PathBuf>,
    /// File of the private key of NATS_CERTIFICATE_FILE, in PEM
    #[arg(long, env = "NATS_KEY_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    nats_key_file: Option<PathBuf>,
    /// Stream on NATS that stores the events; it is made when it does not exist
    #[arg(long, env = "NATS_STREAM", hide_env_values = true, default_value = "TEPPAN_EVENTS", global = true)]
    nats_stream: String,
}

impl NatsArgs {
    /// `None` when a setting is invalid; `problems` then has the reason. `Some(None)` when NATS is not configured. With
    /// `allow_insecure`, servers on other machines need not encrypt.
    pub fn parse(&self, allow_insecure: bool, problems: &mut Problems) -> Option<Option<NatsSettings>> {
        let url = problems.secret("NATS_URL", self.nats_url.as_deref(), self.nats_url_file.as_deref());
        let token = problems.secret("NATS_TOKEN", self.nats_token.as_deref(), self.nats_token_file.as_deref());
        let (value, file) = (self.nats_credentials.as_deref(), self.nats_credentials_file.as_deref());
        let credentials = problems.secret("NATS_CREDENTIALS", value, file);
        if credentials.as_ref().is_some_and(|credentials| log_in_with(credentials).is_err()) {
            problems.add(
                "NATS_CREDENTIALS",
                "must be a JWT with its seed, as a .creds file holds them, or the seed of an nkey",
            );
        }
        let ca_file = self.nats_ca_file.clone().filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = &ca_file {
            check_certificates(path, problems);
        }
        let pair = self.parse_pair(problems);
        let stream = self.nats_stream.trim().to_owned();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if !(1..=100).contains(&stream.len()) || !stream.bytes().all(allowed) {
            problems.add("NATS_STREAM", "must be 1 to 100 ASCII letters, digits, underscores and hyphens");
        }
        let others = [
            ("NATS_TOKEN", token.is_some()),
            ("NATS_CREDENTIALS", credentials.is_some()),
            ("NATS_CA_FILE", ca_file.is_some()),
            ("NATS_CERTIFICATE_FILE", pair.as_ref().is_some_and(Option::is_some)),
        ];
        let Some(url) = url else {
            for (name, _) in others.into_iter().filter(|(_, is_given)| *is_given) {
                problems.add(name, "is of no use without NATS_URL");
            }
            return Some(None);
        };
        let settings = NatsSettings { url, token, credentials, ca_file, pair: pair?, allow_insecure, stream };
        if let Err(fault) = settings.connect_options() {
            problems.add("NATS_URL", fault);
            return None;
        }
        Some(Some(settings))
    }

    /// `None` when a setting is invalid. The library reads the files again for every connection.
    fn parse_pair(&self, problems: &mut Problems) -> Option<Option<(PathBuf, PathBuf)>> {
        const NAMES: PairNames = PairNames { certificate: "NATS_CERTIFICATE_FILE", key: "NATS_KEY_FILE" };
        let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let certificate = (NAMES.certificate, given(&self.nats_certificate_file));
        let Some((certificate, key)) = problems.both(certificate, (NAMES.key, given(&self.nats_key_file)))? else {
            return Some(None);
        };
        let texts = (problems.read(NAMES.certificate, &certificate), problems.read(NAMES.key, &key));
        let (Some(certificate_text), Some(key_text)) = texts else { return None };
        if let Err(fault) = Pair::read(NAMES, certificate_text.as_bytes(), key_text.as_bytes()) {
            problems.add(fault.setting, fault.problem);
            return None;
        }
        Some(Some((certificate, key)))
    }
}

/// What is wrong with the URL of NATS. The texts never contain a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlFault {
    #[error("must be nats://user:password@host:port, or several separated by commas; tls:// encrypts")]
    Unreadable,
    #[error("must begin with nats:// or tls://: NATS over websockets is not supported")]
    Websocket,
    #[error("has different logins: the servers of a cluster share one login, which is needed for one of them only")]
    Logins,
    #[error("a login is given more than once: use only one of the URL, NATS_TOKEN and NATS_CREDENTIALS")]
    SeveralLogins,
    #[error("is used with credentials that cannot be read")]
    Credentials,
}

/// The login in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Login {
    Token(String),
    User(String, String),
}

impl NatsSettings {
    /// The options of the connection, and the servers.
    pub(super) fn connect_options(&self) -> Result<(ConnectOptions, Vec<ServerAddr>), UrlFault> {
        let servers = self.url.expose_secret().split(',').map(|server| parse_server(server.trim()));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        let mut logins = servers.iter().filter_map(|(_, login)| login.clone());
        let login = logins.next();
        if logins.any(|other| Some(&other) != login.as_ref()) {
            return Err(UrlFault::Logins);
        }
        let options = match (login, &self.token, &self.credentials) {
            (None, None, None) => ConnectOptions::new(),
            (Some(Login::Token(token)), None, None) => ConnectOptions::with_token(token),
            (Some(Login::User(user, password)), None, None) => ConnectOptions::with_user_and_password(user, password),
            (None, Some(token), None) => ConnectOptions::with_token(token.expose_secret().to_owned()),
            (None, None, Some(credentials)) => log_in_with(credentials).map_err(|_| UrlFault::Credentials)?,
            _ => return Err(UrlFault::SeveralLogins),
        };
        // This also covers servers that the cluster announces later, which have no scheme.
        let must_encrypt =
            |server: &ServerAddr| server.tls_required() || !(self.allow_insecure || is_loopback(server.host()));
        let options = options.require_tls(servers.iter().any(|(server, _)| must_encrypt(server)));
        let options = match &self.ca_file {
            Some(path) => options.add_root_certificates(path.clone()),
            None => options,
        };
        let options = match &self.pair {
            Some((certificate, key)) => options.add_client_certificate(certificate.clone(), key.clone()),
            None => options,
        };
        Ok((options, servers.into_iter().map(|(server, _)| server).collect()))
    }

    /// The servers, without their login.
    pub(super) fn server_names(&self) -> String {
        let servers = self.url.expose_secret().split(',').filter_map(|server| server.trim().parse::<ServerAddr>().ok());
        servers.map(|server| format!("{}:{}", server.host(), server.port())).collect::<Vec<_>>().join(", ")
    }
}

/// A server, without its login, and that login.
fn parse_server(raw: &str) -> Result<(ServerAddr, Option<Login>), UrlFault> {
    let server: ServerAddr = raw.parse().map_err(|_| UrlFault::Unreadable)?;
    if server.is_websocket() {
        return Err(UrlFault::Websocket);
    }
    let mut url = server.into_inner();
    let decode =
        |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| UrlFault::Unreadable);
    let login = match (decode(url.username())?, url.password().map(decode).transpose()?) {
        (user, Some(password)) => Some(Login::User(user, password)),
        (token, None) if !token.is_empty() => Some(Login::Token(token)),
        _ => None,
    };
    // A `/`, `?` or `#` in a password that is not percent-encoded ends it here.
    let is_odd = !["", "/"].contains(&url.path()) || url.query().is_some() || url.fragment().is_some();
    if is_odd || url.host_str().is_none_or(str::is_empty) {
        return Err(UrlFault::Unreadable);
    }
    // Otherwise the library would write the login to its debug log.
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| UrlFault::Unreadable)?;
    Ok((ServerAddr::from_url(url).map_err(|_| UrlFault::Unreadable)?, login))
}

/// A JWT with its seed, or a seed alone.
fn log_in_with(credentials: &SecretString) -> io::Result<ConnectOptions> {
    let text = credentials.expose_secret();
    if text.starts_with("SU") {
        nkeys::KeyPair::from_seed(text).map_err(io::Error::other)?;
        return Ok(ConnectOptions::with_nkey(text.to_owned()));
    }
    // The library needs a line end after the last line, which reading the setting has trimmed.
    ConnectOptions::with_credentials(&format!("{text}\n"))
}

fn check_certificates(path: &Path, problems: &mut Problems) {
    let Some(text) = problems.read("NATS_CA_FILE", path) else { return };
    let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes()).peekable();
    if certificates.peek().is_none() || certificates.any(|certificate| certificate.is_err()) {
        problems.add("NATS_CA_FILE", "must be a file of certificates in PEM");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> NatsSettings {
        NatsSettings { url: SecretString::from(url), ..NatsSettings::default() }
    }

    fn fault(settings: &NatsSettings) -> UrlFault {
        match settings.connect_options() {
            Ok(_) => panic!("there is no fault"),
            Err(fault) => fault,
        }
    }

    #[test]
    fn only_urls_of_nats_servers_are_accepted() {
        for url in ["nats://user:secret@127.0.0.1:4222, tls://nats.example.org", "nats.example.org", "tls://[::1]:4222"]
        {
            assert!(settings(url).connect_options().is_ok(), "{url}");
        }
        for url in ["nats://127.0.0.1:hunter2", "", "http://127.0.0.1", "nats://us:er/1@127.0.0.1", "nats://a,"] {
            assert_eq!(fault(&settings(url)), UrlFault::Unreadable, "{url}");
        }
        assert_eq!(fault(&settings("wss://127.0.0.1")), UrlFault::Websocket);
    }

    #[test]
    fn all_servers_must_have_the_same_login() {
        let login = |url| parse_server(url).expect(url).1;
        assert_eq!(login("nats://us%40er:pa%2Fss@host"), Some(Login::User("us@er".to_owned(), "pa/ss".to_owned())));
        assert_eq!(login("nats://token@host"), Some(Login::Token("token".to_owned())));
        assert_eq!(login("tls://host"), None);
        assert!(settings("nats://a:b@one,nats://a:b@two,nats://three").connect_options().is_ok());
        assert_eq!(fault(&settings("nats://a:b@one,nats://a:c@two")), UrlFault::Logins);
        let token = Some(SecretString::from("token"));
        assert_eq!(fault(&NatsSettings { token, ..settings("nats://a:b@one") }), UrlFault::SeveralLogins);
    }

    #[test]
    fn the_client_library_gets_urls_without_the_login() {
        let (_, servers) = settings("nats://user:hunter2@one,nats://two").connect_options().expect("sound");
        assert!(servers.iter().all(|server| !server.as_url_str().contains("hunter2")), "{servers:?}");
    }

    #[test]
    fn the_names_of_servers_do_not_contain_the_login() {
        let settings = settings("nats://user:hunter2@127.0.0.1:4223, nats://hunter2@nats.example.org");
        assert_eq!(settings.server_names(), "127.0.0.1:4223, nats.example.org:4222");
    }
}
