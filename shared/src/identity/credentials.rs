//! The credentials file: names, roles, hashes of tokens, and names in client certificates.

use std::{collections::HashMap, fmt, sync::Arc};

use toml::{Table, Value};

use super::{Identity, Proof, Role, Roles, token::TokenHash};

const ENTRIES_MAX: usize = 1000;
/// The most names of certificates in one entry.
const CERTIFICATES_MAX: usize = 20;
/// The most faults that are listed; further ones are counted.
const FAULTS_LISTED: usize = 20;
const KEYS: [&str; 4] = ["name", "roles", "token_sha256", "certificates"];

/// The callers of a credentials file, by their credentials.
#[derive(Debug, Default)]
pub struct Credentials {
    by_token: HashMap<TokenHash, Arc<Identity>>,
    by_certificate: HashMap<String, Arc<Identity>>,
}

/// All faults of a credentials file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CredentialsFault(Vec<String>);

impl fmt::Display for CredentialsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = self.0.iter().take(FAULTS_LISTED).map(String::as_str).collect::<Vec<_>>();
        f.write_str(&listed.join("; "))?;
        match self.0.len() - listed.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Credentials {
    /// # Errors
    /// All faults of the file, without possible secrets.
    pub fn parse(text: &str) -> Result<Self, CredentialsFault> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            // The library's message quotes the line, which may contain a token that was pasted by mistake.
            let before = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.bytes().take(before).filter(|byte| *byte == b'\n').count();
            CredentialsFault(vec![format!("line {line} is not TOML")])
        })?;
        let mut parser = Parser::default();
        for key in table.keys().filter(|key| *key != "credentials") {
            parser.faults.push(format!("{key:?} is not a key of this file: it has [[credentials]] only"));
        }
        match table.get("credentials") {
            Some(Value::Array(entries)) if entries.len() > ENTRIES_MAX => {
                parser.faults.push(format!("there are {} entries: at most {ENTRIES_MAX} are read", entries.len()));
            }
            Some(Value::Array(entries)) => {
                entries.iter().enumerate().for_each(|(index, entry)| parser.entry(index + 1, entry));
            }
            Some(_) => parser.faults.push("credentials must be entries, each under [[credentials]]".to_owned()),
            None => parser.faults.push("there is no entry: add one under [[credentials]]".to_owned()),
        }
        if parser.faults.is_empty() { Ok(parser.credentials) } else { Err(CredentialsFault(parser.faults)) }
    }

    /// The caller with this token.
    ///
    /// The comparison need not take constant time. It compares the hash of the presented token, so its duration reveals
    /// at most how many digits equal those of a stored hash. An attacker would have to choose hashes to use that, and
    /// choosing 64 bits of a SHA-256 hash takes 2^64 tries. Even a completely known hash does not reveal the token.
    pub fn by_token(&self, token: &str) -> Option<&Arc<Identity>> {
        self.by_token.get(&TokenHash::of(token))
    }

    /// The caller with this name in its verified certificate.
    pub fn by_certificate(&self, name: &str) -> Option<&Arc<Identity>> {
        self.by_certificate.get(name)
    }
}

#[derive(Default)]
struct Parser {
    credentials: Credentials,
    roles_by_name: HashMap<String, Roles>,
    faults: Vec<String>,
}

impl Parser {
    /// Parses the entry with this number, counted from 1.
    fn entry(&mut self, position: usize, entry: &Value) {
        let Value::Table(entry) = entry else {
            return self.faults.push(format!("entry {position} must stand under [[credentials]]"));
        };
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        let label = if is_name(name) { format!("entry {position} ({name})") } else { format!("entry {position}") };
        for key in entry.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            self.faults.push(format!("{label}: {key:?} is not a key: {} are", KEYS.join(", ")));
        }
        if !is_name(name) {
            let must = "name must be 1 to 100 of the characters A-Z a-z 0-9 . _ : -";
            self.faults.push(format!("{label}: {must}"));
        }
        let roles = self.roles(&label, entry.get("roles"));
        let token = entry.get("token_sha256").and_then(|value| self.token(&label, value));
        let certificates = entry.get("certificates").map(|value| self.certificates(&label, value));
        if !entry.contains_key("token_sha256") && certificates.as_ref().is_none_or(Vec::is_empty) {
            self.faults.push(format!("{label}: it has neither token_sha256 nor certificates, so no caller can use it"));
        }
        if self.roles_by_name.insert(name.to_owned(), roles).is_some_and(|before| before != roles) {
            self.faults.push(format!("{label}: an entry before it has the same name and other roles"));
        }
        let identity = |proof| Arc::new(Identity { name: name.into(), roles, proof, expires_at_seconds: None });
        if token.is_some_and(|token| self.credentials.by_token.insert(token, identity(Proof::Token)).is_some()) {
            self.faults.push(format!("{label}: an entry before it has the same token"));
        }
        for certificate in certificates.into_iter().flatten() {
            let before = self.credentials.by_certificate.insert(certificate, identity(Proof::Certificate));
            if before.is_some_and(|before| *before.name != *name) {
                self.faults.push(format!("{label}: an entry of another name has the same certificate"));
            }
        }
    }

    fn roles(&mut self, label: &str, value: Option<&Value>) -> Roles {
        let Some(names) = value.and_then(strings) else {
            self.faults.push(format!("{label}: roles must be a list, such as [\"orchestrator\"]"));
            return Roles::NONE;
        };
        if names.is_empty() {
            self.faults.push(format!("{label}: roles is empty, so it may call nothing"));
        }
        let parsed = names.iter().map(|name| name.parse::<Role>());
        parsed
            .filter_map(|role| role.map_err(|must| self.faults.push(format!("{label}: each role {must}"))).ok())
            .collect()
    }

    fn token(&mut self, label: &str, value: &Value) -> Option<TokenHash> {
        let hash = value.as_str().and_then(TokenHash::from_hex);
        if hash.is_none() {
            let must =
                "token_sha256 must be the 64 hexadecimal digits that `token create` prints, not the token itself";
            self.faults.push(format!("{label}: {must}"));
        }
        hash
    }

    fn certificates(&mut self, label: &str, value: &Value) -> Vec<String> {
        let is_certificate_name =
            |name: &&str| (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        let names =
            strings(value).filter(|names| names.len() <= CERTIFICATES_MAX && names.iter().all(is_certificate_name));
        let Some(names) = names else {
            let must = "certificates must be a list of at most 20 names in client certificates: DNS names, URIs, or \
                        common names";
            self.faults.push(format!("{label}: {must}"));
            return Vec::new();
        };
        names.into_iter().map(ToOwned::to_owned).collect()
    }
}

/// The strings of a list that has only strings.
fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// Whether a name is suitable for logs: short, and without characters that need quotes.
pub fn is_name(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Token;

    fn entry(name: &str, roles: &str, rest: &str) -> String {
        format!("[[credentials]]\nname = {name:?}\nroles = {roles}\n{rest}\n")
    }

    fn faults(text: &str) -> Vec<String> {
        Credentials::parse(text).expect_err("it is wrong").0
    }

    #[test]
    fn a_caller_is_found_by_each_of_its_tokens_and_certificates() {
        let (old, new) = (Token::random(), Token::random());
        let text = entry("assistant", "['orchestrator', 'privacy']", &format!("token_sha256 = '{}'", old.hash()))
            + &entry("assistant", "['privacy', 'orchestrator']", &format!("token_sha256 = '{}'", new.hash()))
            + &entry(
                "assistant",
                "['orchestrator', 'privacy']",
                "certificates = ['assistant.example', 'spiffe://a/b']",
            );
        let credentials = Credentials::parse(&text).expect("it is well");
        for token in [&old, &new] {
            let identity = credentials.by_token(token.expose()).expect("known");
            assert_eq!((&*identity.name, identity.proof), ("assistant", Proof::Token));
            assert_eq!(identity.roles.to_string(), "orchestrator, privacy");
        }
        assert!(credentials.by_token(Token::random().expose()).is_none());
        assert!(credentials.by_token(&old.hash().to_string()).is_none(), "a hash is no token");
        assert_eq!(credentials.by_certificate("spiffe://a/b").map(|it| it.proof), Some(Proof::Certificate));
        assert!(credentials.by_certificate("assistant").is_none());
    }

    #[test]
    fn all_faults_are_reported_together() {
        let text = entry("a b", "['orchestrator']", "token_sha256 = 'teppan_secret'")
            + &entry("ok", "[]", "certificates = []")
            + &entry("odd", "['admin']", "certificates = 'x'\nexpires = 1");
        let faults = faults(&text).join("\n");
        for fault in ["entry 1: name must", "entry 1: token_sha256 must", "entry 2 (ok): roles is empty"]
            .into_iter()
            .chain(["entry 2 (ok): it has neither", "entry 3 (odd): \"expires\" is not", "each role must be"])
            .chain(["entry 3 (odd): certificates must"])
        {
            assert!(faults.contains(fault), "{fault} is missing in\n{faults}");
        }
        assert!(!faults.contains("secret"), "{faults}");
    }

    #[test]
    fn entries_of_one_name_must_have_the_same_roles_and_a_credential_only_one_name() {
        let hash = Token::random().hash();
        let token = format!("token_sha256 = '{hash}'");
        let text = entry("a", "['sender']", &token) + &entry("a", "['venue']", "certificates = ['c']");
        assert_eq!(faults(&text), ["entry 2 (a): an entry before it has the same name and other roles"]);
        let text = entry("a", "['sender']", &token) + &entry("b", "['sender']", &token);
        assert_eq!(faults(&text), ["entry 2 (b): an entry before it has the same token"]);
        let text = entry("a", "['sender']", "certificates = ['c']") + &entry("b", "['sender']", "certificates = ['c']");
        assert_eq!(faults(&text), ["entry 2 (b): an entry of another name has the same certificate"]);
    }

    #[test]
    fn a_file_that_is_not_toml_or_has_no_entries_is_reported_without_its_text() {
        assert_eq!(faults("name = 'x'\nteppan_secret\n"), ["line 2 is not TOML"]);
        assert_eq!(faults("name = 'x'\n= 'y'\n"), ["line 2 is not TOML"]);
        assert_eq!(faults(""), ["there is no entry: add one under [[credentials]]"]);
        assert_eq!(faults("credentials = 1"), ["credentials must be entries, each under [[credentials]]"]);
        assert_eq!(faults("[[credentials]]\nname='a'\n[credential]\n").len(), 3);
        let many = "[[credentials]]\n".repeat(ENTRIES_MAX + 1);
        assert_eq!(faults(&many), ["there are 1001 entries: at most 1000 are read"]);
    }

    #[test]
    fn of_very_many_faults_the_rest_is_counted() {
        let text = "[[credentials]]\n".repeat(100);
        let shown = Credentials::parse(&text).expect_err("it is wrong").to_string();
        assert!(shown.ends_with("; and 280 more"), "{shown}");
    }
}
