//! A private PostgreSQL, run by the project itself and without an administrator.
//!
//! Two kinds, for two purposes:
//!
//! - [`SharedServer`] keeps data. It lives in the project's home folder (`.teppan`), commits are
//!   durable, every process that uses the same home shares it, and the last to leave stops it.
//! - [`ThrowawayServer`] is for tests and builds. It lives in a temporary folder and is gone,
//!   folder and all, when the process that started it ends, however it ends.
//!
//! Both listen on 127.0.0.1 only, on a free port, and let nobody in without a password that was
//! made at random. The programs (`initdb`, `pg_ctl`, `postgres`) are those of the machine, or the
//! ones `make setup` brought; see `programs`.
//!
//! How it fits together: `home` says where things are, `account` as whom the programs run,
//! `lock` whose turn it is; `cluster` makes, starts and stops one data folder, `process`
//! tells a live server from what a dead one left behind, `login` is how to reach it, and
//! `supervisor` starts a server that died again.
//!
//! No path is ever part of a shell's text, and PostgreSQL's variables in the environment do not reach the programs or
//! the connections.

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

pub use environment::shed_postgres_variables;
pub use error::EmbeddedError;
pub use home::prepare as prepare_home;
pub use settings::Durability;
pub use shared_server::SharedServer;
pub use supervisor::Supervisor;
pub use throwaway_server::ThrowawayServer;
pub use unprivileged::Unprivileged;
