//! PostgreSQL's programs, for those who run servers in their own way.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{account::Account, error::EmbeddedError, home, programs::Programs};

/// The machine's PostgreSQL programs, and a user who may run them: this process's own, or for root another one.
#[derive(Debug)]
pub struct Unprivileged {
    account: Account,
    programs: Programs,
}

impl Unprivileged {
    /// Finds the programs as the private PostgreSQL does, for a user who can get to them and to this folder.
    ///
    /// # Errors
    /// Each [`EmbeddedError`] says what to do about it.
    pub async fn find(home: &Path, folder: &Path) -> Result<Self, EmbeddedError> {
        let home = home::prepare(home)?;
        let programs = Programs::find(&home, None).await?;
        let account = Account::choose(&home, folder)?.reaching(&programs, folder).await?;
        Ok(Self { account, programs })
    }

    /// A program of PostgreSQL.
    pub fn path(&self, program: &str) -> PathBuf {
        self.programs.path(program)
    }

    /// A command that will run this program as the user, away from the terminal's signals and from variables that
    /// PostgreSQL's programs take as settings.
    pub fn command(&self, program: &Path) -> Command {
        self.account.command(program)
    }

    /// Makes the user the owner of a file or folder.
    ///
    /// # Errors
    /// The file system refused.
    pub fn give(&self, path: &Path) -> Result<(), EmbeddedError> {
        self.account.give(path)
    }
}
