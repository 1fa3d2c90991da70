//! PostgreSQL's programs, for code that starts servers itself.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{account::Account, error::EmbeddedError, home, programs::Programs};

/// The machine's PostgreSQL programs, and a user that may run them: the user of this process, or another one for root.
#[derive(Debug)]
pub struct Unprivileged {
    account: Account,
    programs: Programs,
}

impl Unprivileged {
    /// Finds the programs as the private PostgreSQL does, and a user that can access them and this folder.
    ///
    /// # Errors
    /// Each [`EmbeddedError`] states the remedy.
    pub async fn find(home: &Path, folder: &Path) -> Result<Self, EmbeddedError> {
        let home = home::prepare(home)?;
        let programs = Programs::find(&home, None).await?;
        let account = Account::choose(&home, folder)?.with_access_to(&programs, folder).await?;
        Ok(Self { account, programs })
    }

    /// A program of PostgreSQL.
    pub fn path(&self, program: &str) -> PathBuf {
        self.programs.path(program)
    }

    /// A command that runs this program as the user, without signals of the terminal and without environment variables
    /// that PostgreSQL's programs read as settings.
    pub fn command(&self, program: &Path) -> Command {
        self.account.command(program)
    }

    /// Makes the user the owner of a file or folder.
    ///
    /// # Errors
    /// The file system refused.
    pub fn make_owner_of(&self, path: &Path) -> Result<(), EmbeddedError> {
        self.account.make_owner_of(path)
    }
}
