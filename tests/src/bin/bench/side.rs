//! The ways in which a call is made.

use serde::Serialize;

/// A way, measured in turn with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// One bare INSERT of a small row through pgbench: a durable commit cannot be cheaper.
    Floor,
    /// The service's own statement through pgbench.
    Pgbench,
    /// The plain service through gRPC.
    Plain,
    /// The service through gRPC.
    Teppan,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Pgbench => "pgbench",
            Self::Plain => "plain",
            Self::Teppan => "Teppan",
        }
    }
}
