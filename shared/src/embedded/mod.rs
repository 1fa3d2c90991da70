//! A private PostgreSQL that the project runs itself, without an administrator.
//!
//! There are two kinds:
//!
//! - [`SharedServer`] keeps data. Its data are in the project's home folder (`.teppan`), and commits are durable. All
//!   processes with the same home share it, and the last one that uses it stops it.
//! - [`ThrowawayServer`] is for tests and builds. Its data are in a temporary folder. When the process that started it
//!   ends, in whatever way, the server is stopped and the folder removed.
//!
//! Both listen only on 127.0.0.1, on a free port, and require a random password. The programs (`initdb`, `pg_ctl`,
//! `postgres`) are those of the machine or those that `make setup` installed; see `programs`.
//!
//! The modules: `home` has the folders, `account` the user that the programs run as, `lock` the locks between
//! processes. `cluster` creates, starts and stops the server of one data folder. `process` detects whether the server
//! is running, `login` connects to it, and `supervisor` restarts it after a crash.
//!
//! No path becomes part of a shell command, and PostgreSQL's environment variables do not reach the programs or the
//! connections.

mod account;
mod cluster;
mod environment;
mod error;
mod guard;
mod home;
mod initdb;
mod lock;
mod login;
mod password;
mod process;
mod programs;
mod run;
mod settings;
mod shared_server;
mod supervisor;
mod throwaway_server;
mod unprivileged;

/// Whether this program can start a PostgreSQL of its own.
pub const IS_BUILT_IN: bool = true;

pub use environment::exec_without_postgres_variables;
pub use error::EmbeddedError;
pub use home::prepare as prepare_home;
pub use settings::Durability;
pub use shared_server::SharedServer;
pub use supervisor::Supervisor;
pub use throwaway_server::ThrowawayServer;
pub use unprivileged::Unprivileged;
