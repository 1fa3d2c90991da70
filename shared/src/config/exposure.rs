//! Checks that connections from other machines are protected.

use std::net::{IpAddr, SocketAddr};

use super::Problems;

/// The protection of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protection {
    /// Connections are encrypted.
    pub tls: bool,
    /// Callers are authenticated, or need no authentication.
    pub credentials: bool,
}

impl Protection {
    /// Refuses an address that other machines can reach, unless the server has both protections.
    pub fn check(self, setting: &str, address: SocketAddr, problems: &mut Problems) {
        if address.ip().is_loopback() {
            return;
        }
        let missing = match (self.tls, self.credentials) {
            (true, true) => return,
            (false, true) => "connections are not encrypted: set TLS_CERTIFICATE_FILE and TLS_KEY_FILE",
            (true, false) => "callers are not authenticated: set CREDENTIALS_FILE or OIDC_ISSUER",
            (false, false) => {
                "connections are not encrypted, which TLS_CERTIFICATE_FILE and TLS_KEY_FILE change, and callers are not \
                 authenticated, which CREDENTIALS_FILE or OIDC_ISSUER changes"
            }
        };
        problems.add(
            setting,
            format!(
                "is reachable from other machines, and {missing}. Or listen on loopback, or set ALLOW_INSECURE=true \
                 where something in front, such as a mesh, does both"
            ),
        );
    }
}

/// Whether the host of a URL is this machine: `localhost` or a loopback address, with or without the brackets of IPv6.
/// Any other name may refer to another machine.
pub fn is_loopback(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(tls: bool, credentials: bool, address: &str) -> Option<String> {
        let mut problems = Problems::default();
        Protection { tls, credentials }.check("LISTEN_ADDR", address.parse().unwrap(), &mut problems);
        problems.finish().err().map(|problems| problems.to_string())
    }

    #[test]
    fn an_address_for_other_machines_needs_encryption_and_authentication() {
        for address in ["127.0.0.1:1", "[::1]:1"] {
            assert_eq!(refusal(false, false, address), None);
        }
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            assert_eq!(refusal(true, true, address), None);
            assert!(refusal(false, true, address).unwrap().contains("not encrypted: set TLS_CERTIFICATE_FILE"));
            assert!(refusal(true, false, address).unwrap().contains("and callers are not authenticated"));
            assert!(refusal(false, false, address).unwrap().contains("LISTEN_ADDR: is reachable"));
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        assert!(["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "[::1]"].into_iter().all(is_loopback));
        assert!(!["", "10.0.0.1", "db", "localhost.example.org", "[fe80::1]", "0.0.0.0"].into_iter().any(is_loopback));
    }
}
