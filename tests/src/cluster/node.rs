use std::{fs, io, path::PathBuf};

use crate::signal::{children, signal};

/// One node of a cluster: Patroni, and the PostgreSQL server that it runs.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub port: u16,
    pub(super) rest_port: u16,
    pub(super) data: PathBuf,
}

impl Node {
    /// Kills the server by SIGKILL. Patroni keeps running.
    ///
    /// # Errors
    /// There is no server.
    pub fn kill_server(&self) -> io::Result<()> {
        signal("KILL", &[self.server()?])
    }

    /// Kills Patroni and the server by SIGKILL, as when the machine is lost.
    ///
    /// # Errors
    /// There is no server.
    pub fn kill(&self) -> io::Result<()> {
        signal("KILL", &[self.patroni()?, self.server()?])
    }

    /// Stops every process of the node by SIGSTOP, until [`Node::thaw`]: its connections stay open without answers.
    ///
    /// # Errors
    /// There is no server.
    pub fn freeze(&self) -> io::Result<()> {
        // The server first: a stopped server forks no new children.
        signal("STOP", &[self.patroni()?, self.server()?])?;
        signal("STOP", &children(self.server()?))
    }

    /// Resumes the processes of the node.
    ///
    /// # Errors
    /// There is no server.
    pub fn thaw(&self) -> io::Result<()> {
        let server = self.server()?;
        signal("CONT", &[children(server), vec![server, self.patroni()?]].concat())
    }

    fn server(&self) -> io::Result<u32> {
        first_number(&self.data.join("postmaster.pid"))
    }

    fn patroni(&self) -> io::Result<u32> {
        first_number(&self.data.with_extension("pid"))
    }
}

fn first_number(path: &std::path::Path) -> io::Result<u32> {
    let text = fs::read_to_string(path)?;
    text.split_whitespace().next().and_then(|pid| pid.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
