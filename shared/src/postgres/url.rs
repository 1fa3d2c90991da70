//! The URL of a database. The library accepts any scheme, keeps the brackets of an IPv6 address, and ignores unknown
//! parameters. This module handles these cases first.

use std::{borrow::Cow, env, fs::File, io, net::IpAddr, str::FromStr as _};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::config::is_loopback;

const FORM: &str = "postgres://user:password@host:port/database";

/// What is wrong with the URL of a database. The texts never contain a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    #[error("must be the URL of a PostgreSQL database: write {FORM}")]
    OtherScheme,
    #[error("is a URL for JDBC: write {FORM}, without jdbc: and with user and password before the host")]
    Jdbc,
    #[error("names a driver: write {FORM}, without + and what follows it")]
    Driver,
    #[error("is a list of keywords: write {FORM}")]
    Keywords,
    #[error(
        "cannot be read as {FORM}: in user and password, write %40 for @, %2F for /, %3A for :, %3F for ? and %23 for #"
    )]
    Unreadable,
    #[error("names several hosts: name one, such as a proxy or a name that follows the primary")]
    SeveralHosts,
    #[error("has parameters that are not supported, leave them out: {}", .0.join(", "))]
    Parameters(Vec<String>),
    #[error("has a wrong parameter: {0} must be {1}")]
    Parameter(&'static str, &'static str),
    #[error(
        "leads to another machine, where sslmode must say what is meant: verify-full, with sslrootcert for the authority \
         of its certificate, is the default; require and verify-ca do not check its name; disable sends everything in \
         clear"
    )]
    Opportunistic,
    #[error("names a file in {0} that cannot be read: {1}")]
    File(String, io::ErrorKind),
}

/// The connection options of a URL.
///
/// # Errors
/// [`UrlFault`].
pub fn parse_url(raw: &str) -> Result<PgConnectOptions, UrlFault> {
    check_scheme(raw)?;
    let raw = &*with_host(raw);
    let url = Url::parse(raw).map_err(|_| UrlFault::Unreadable)?;
    // An unescaped `#`, `?`, `/` or `@` in a password ends the password there.
    if url.fragment().is_some() || url.path().contains('@') || url.query().is_some_and(|query| query.contains('@')) {
        return Err(UrlFault::Unreadable);
    }
    if url.host_str().is_some_and(|host| host.contains(',')) {
        return Err(UrlFault::SeveralHosts);
    }
    check_parameters(&url)?;
    let options = PgConnectOptions::from_str(raw).map_err(|_| UrlFault::Unreadable)?;
    let host = options.get_host();
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ipv6) => ipv6.to_owned(),
        None => percent_decode_str(host).decode_utf8().map_err(|_| UrlFault::Unreadable)?.into_owned(),
    };
    with_verified_tls(options.host(&host), names_ssl_mode(&url))
}

/// Whether the URL or the environment sets `sslmode`.
fn names_ssl_mode(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| ["sslmode", "ssl-mode"].contains(&&*name)) || env::var_os("PGSSLMODE").is_some()
}

/// Connections to another machine use TLS and verify the server's certificate, unless the URL sets `sslmode`. The
/// library's default would accept any certificate, and plaintext if the server does not offer TLS.
fn with_verified_tls(options: PgConnectOptions, is_named: bool) -> Result<PgConnectOptions, UrlFault> {
    if options.get_socket().is_some() || is_loopback(options.get_host()) {
        return Ok(options);
    }
    match options.get_ssl_mode() {
        PgSslMode::Allow | PgSslMode::Prefer if is_named => Err(UrlFault::Opportunistic),
        _ if is_named => Ok(options),
        _ => Ok(options.ssl_mode(PgSslMode::VerifyFull)),
    }
}

fn check_scheme(raw: &str) -> Result<(), UrlFault> {
    let Some((scheme, _)) = raw.split_once("://") else {
        let is_keywords = ["host=", "dbname=", "user="].iter().any(|keyword| raw.contains(keyword));
        return Err(if is_keywords { UrlFault::Keywords } else { UrlFault::OtherScheme });
    };
    let is_ours = |scheme: &str| ["postgres", "postgresql"].contains(&scheme);
    let scheme = scheme.to_ascii_lowercase();
    match scheme.split_once([':', '+']) {
        None if is_ours(&scheme) => Ok(()),
        Some(("jdbc", _)) => Err(UrlFault::Jdbc),
        Some((scheme, _)) if is_ours(scheme) => Err(UrlFault::Driver),
        _ => Err(UrlFault::OtherScheme),
    }
}

/// Adds the default host to a URL with a user and no host, such as `postgres://user@/database?host=/run/postgresql`.
/// PostgreSQL's own programs accept such a URL, but the parser does not.
fn with_host(raw: &str) -> Cow<'_, str> {
    let start = raw.find("://").map_or(0, |found| found + 3);
    let end = raw[start..].find(['/', '?', '#']).map_or(raw.len(), |found| start + found);
    if !raw[start..end].ends_with('@') {
        return Cow::Borrowed(raw);
    }
    let options = PgConnectOptions::new_without_pgpass();
    let host = utf8_percent_encode(options.get_host(), NON_ALPHANUMERIC);
    Cow::Owned(format!("{}{host}{}", &raw[..end], &raw[end..]))
}

fn check_parameters(url: &Url) -> Result<(), UrlFault> {
    let mut unknown = Vec::new();
    for (name, value) in url.query_pairs() {
        match &*name {
            "host" if value.contains(',') => return Err(UrlFault::SeveralHosts),
            "port" if value.parse::<u16>().is_err() => return Err(UrlFault::Parameter("port", "a number up to 65535")),
            "hostaddr" if value.parse::<IpAddr>().is_err() => {
                return Err(UrlFault::Parameter("hostaddr", "an IP address"));
            }
            "sslmode" | "ssl-mode" if value.parse::<PgSslMode>().is_err() => {
                let must = "disable, allow, prefer, require, verify-ca or verify-full";
                return Err(UrlFault::Parameter("sslmode", must));
            }
            "statement-cache-capacity" if value.parse::<usize>().is_err() => {
                return Err(UrlFault::Parameter("statement-cache-capacity", "a whole number"));
            }
            "host"
            | "hostaddr"
            | "port"
            | "dbname"
            | "user"
            | "password"
            | "application_name"
            | "options"
            | "sslmode"
            | "ssl-mode"
            | "statement-cache-capacity" => {}
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" | "sslcert" | "ssl-cert" | "sslkey" | "ssl-key" => {
                File::open(&*value).map_err(|error| UrlFault::File(name.to_string(), error.kind()))?;
            }
            option if option.starts_with("options[") && option.ends_with(']') => {}
            other => unknown.push(other.to_owned()),
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(UrlFault::Parameters(unknown)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> UrlFault {
        parse_url(url).err().unwrap_or_else(|| panic!("{url} is accepted"))
    }

    #[test]
    fn only_urls_of_postgresql_are_database_urls() {
        for (url, expected) in [
            ("mysql://user@host/database", UrlFault::OtherScheme),
            ("http://host/database", UrlFault::OtherScheme),
            ("host", UrlFault::OtherScheme),
            ("", UrlFault::OtherScheme),
            ("jdbc:postgresql://host/database", UrlFault::Jdbc),
            ("postgresql+asyncpg://user@host/database", UrlFault::Driver),
            ("host=127.0.0.1 dbname=database", UrlFault::Keywords),
        ] {
            assert_eq!(fault(url), expected, "{url}");
        }
        for url in ["postgres://host/database", "postgresql://host", "POSTGRES://host", "postgres:///database"] {
            assert!(parse_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn the_brackets_of_an_ipv6_host_are_removed_and_host_names_are_decoded() {
        for (url, host) in [
            ("postgres://user@[::1]:5433/database", "::1"),
            ("postgres:///database?host=[::1]", "::1"),
            ("postgres:///database?hostaddr=::1", "::1"),
            ("postgres://user@db%2Dprimary/database", "db-primary"),
        ] {
            assert_eq!(parse_url(url).expect(url).get_host(), host);
        }
    }

    #[test]
    fn the_path_of_a_socket_may_be_the_host_or_a_parameter() {
        for url in [
            "postgres://user@%2Fvar%2Frun%2Fpostgresql/database",
            "postgres://user@/database?host=/var/run/postgresql",
            "postgresql:///database?user=user&host=%2Fvar%2Frun%2Fpostgresql",
        ] {
            let options = parse_url(url).expect(url);
            assert_eq!(options.get_socket().map(|path| path.to_str()), Some(Some("/var/run/postgresql")), "{url}");
            assert_eq!((options.get_username(), options.get_database()), ("user", Some("database")), "{url}");
        }
    }

    #[test]
    fn special_characters_in_a_password_must_be_percent_encoded() {
        for password in ["pa/ss", "12/34", "pa?ss", "12?34", "pa#ss", "12#34"] {
            assert_eq!(fault(&format!("postgres://user:{password}@host/database")), UrlFault::Unreadable, "{password}");
        }
        assert!(parse_url("postgres://us%40er:p%2Fa%3As%3Fs%23@host/database").is_ok());
    }

    #[test]
    fn the_certificate_of_another_machine_is_verified_unless_the_url_sets_another_mode() {
        let mode = |url: &str| parse_url(url).expect(url).get_ssl_mode();
        assert!(matches!(mode("postgres://db.example.org/database"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://db/database?hostaddr=10.0.0.1"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://db/database?sslmode=require"), PgSslMode::Require));
        assert!(matches!(mode("postgres://db/database?sslmode=disable"), PgSslMode::Disable));
        for url in ["postgres://localhost/a", "postgres://127.0.0.1/a", "postgres://[::1]/a", "postgres:///a?host=/run"]
        {
            assert!(matches!(mode(url), PgSslMode::Prefer), "{url}");
        }
        for mode in ["prefer", "allow"] {
            assert_eq!(fault(&format!("postgres://db/database?sslmode={mode}")), UrlFault::Opportunistic);
        }
    }

    #[test]
    fn unsupported_parameters_are_refused_by_name_without_their_value() {
        let url = "postgres://host/database?sslmode=require&channel_binding=require&connect_timeout=hunter2";
        assert_eq!(fault(url), UrlFault::Parameters(vec!["channel_binding".to_owned(), "connect_timeout".to_owned()]));
        assert!(!fault(url).to_string().contains("hunter2"));
        assert_eq!(fault("postgres://one,two/database"), UrlFault::SeveralHosts);
        assert_eq!(
            fault("postgres://host/database?sslrootcert=/nowhere/ca.pem").to_string(),
            "names a file in sslrootcert that cannot be read: entity not found"
        );
        for wrong in ["sslmode=on", "port=x", "hostaddr=host", "statement-cache-capacity=x"] {
            assert!(matches!(fault(&format!("postgres://host/database?{wrong}")), UrlFault::Parameter(..)), "{wrong}");
        }
        let options = "postgres://host/database?application_name=teppan&options=-c%20work_mem%3D8MB&options[jit]=off";
        assert!(parse_url(options).is_ok());
    }
}
