//! The command `token`.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;

use super::{Role, Token, credentials::is_name};

/// The operations on tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a new token, and its entry for CREDENTIALS_FILE
    ///
    /// The entry is printed on stdout, to be appended to the file. The token itself is printed once on stderr, or
    /// written to the file of --token-file. The service knows only its hash.
    Create {
        /// Name of the caller, for the audit log and the share of the limits. A second token of the same name and roles
        /// is for rotation: remove the older entry when every client has the new one
        #[arg(long, value_parser = name)]
        name: String,
        /// Roles of the caller, separated by commas: orchestrator, sender, venue, operator, privacy
        #[arg(long, required = true, value_delimiter = ',', value_parser = role)]
        roles: Vec<Role>,
        /// New file for the token, readable by its owner only
        #[arg(long, value_name = "PATH")]
        token_file: Option<PathBuf>,
    },
}

fn name(raw: &str) -> Result<String, &'static str> {
    if is_name(raw) { Ok(raw.to_owned()) } else { Err("must be 1 to 100 of the characters A-Z a-z 0-9 . _ : -") }
}

fn role(raw: &str) -> Result<Role, super::roles::UnknownRole> {
    raw.trim().parse()
}

impl TokenCommand {
    /// Runs the command and returns the exit code of the process.
    pub fn run(&self) -> ExitCode {
        let Self::Create { name, roles, token_file } = self;
        match create(name, roles, token_file.as_deref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the token cannot be written: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn create(name: &str, roles: &[Role], token_file: Option<&Path>) -> io::Result<()> {
    let token = Token::random();
    match token_file {
        Some(path) => {
            let in_file = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            writeln!(file.map_err(in_file)?, "{}", token.expose()).map_err(in_file)?;
        }
        None => writeln!(io::stderr(), "The token, which is not shown again: {}", token.expose())?,
    }
    io::stdout().write_all(entry(name, roles, &token, Utc::now()).as_bytes())
}

/// The entry of a token. Its comment has the time, so that an operator sees which of two entries is older.
fn entry(name: &str, roles: &[Role], token: &Token, made_at: DateTime<Utc>) -> String {
    let roles = roles.iter().map(|role| format!("{:?}", role.into_str())).collect::<Vec<_>>().join(", ");
    let made_at = made_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!(
        "\n# made at {made_at}\n[[credentials]]\nname = {name:?}\nroles = [{roles}]\ntoken_sha256 = \"{}\"\n",
        token.hash()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Credentials;

    #[test]
    fn printed_entries_are_a_valid_credentials_file() {
        let (one, two) = (Token::random(), Token::random());
        let entry = |roles, token| entry("a:b", roles, token, Utc::now());
        let text = entry(&[Role::Sender, Role::Venue], &one) + &entry(&[Role::Venue, Role::Sender], &two);
        let credentials = Credentials::parse(&text).expect("it is well");
        let identity = credentials.by_token(two.expose()).expect("known");
        assert_eq!((&*identity.name, identity.roles.to_string()), ("a:b", "sender, venue".to_owned()));
    }
}
