//! Separate processes that use a server. Tests start, end and kill them.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

pub const SHARED: &str = "shared";
pub const THROWAWAY: &str = "throwaway";

/// Another process that uses a server. It runs the same test program.
pub struct OtherProcess {
    child: Child,
    /// Kept open: a process that cannot print its test's result fails.
    output: BufReader<ChildStdout>,
    pub url: String,
}

impl OtherProcess {
    /// Runs `a_process_that_uses_a_server` and waits until it uses its server.
    pub fn start(kind: &str, home: &Path) -> Self {
        Self::start_with(Command::new(std::env::current_exe().expect("a test has a program")), kind, home)
    }

    /// [`OtherProcess::start`] with this command, which must run the test program.
    pub fn start_with(mut command: Command, kind: &str, home: &Path) -> Self {
        let mut child = command
            .args(["--exact", "a_process_that_uses_a_server", "--ignored", "--nocapture"])
            .env("EMBEDDED_TEST_KIND", kind)
            .env("EMBEDDED_TEST_HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test's own program starts");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let url = output
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("uses ").map(|(_, url)| url.to_owned()))
            .expect("the process reaches its server");
        Self { child, output, url }
    }

    pub fn address(&self) -> SocketAddr {
        address_of(&self.url)
    }

    /// Lets the process end in order, and waits until it has ended.
    pub fn leave(mut self) {
        drop(self.child.stdin.take());
        std::io::copy(&mut self.output, &mut std::io::sink()).expect("it prints until it ends");
        assert!(self.child.wait().expect("it ends").success());
    }

    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

/// The address of the server in a URL.
pub fn address_of(url: &str) -> SocketAddr {
    let options = PgConnectOptions::from_str(url).expect("a server's URL");
    SocketAddr::from(([127, 0, 0, 1], options.get_port()))
}
