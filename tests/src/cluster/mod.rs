//! A PostgreSQL cluster that fails over: three Patroni nodes, coordinated by etcd, behind HAProxy, all on loopback. It
//! uses the files in `deploy/postgres`.

mod guard;
mod node;
mod ports;

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rand::distr::{Alphanumeric, SampleString as _};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use teppan_shared::embedded::{EmbeddedError, Unprivileged};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use self::guard::Guard;
pub use self::node::Node;
use crate::harness::within;

const PATRONI_CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/postgres/patroni.yml");
const HAPROXY_CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/postgres/haproxy.cfg");
const NODES: usize = 3;
/// The bound for reaching full strength. A standby may have to be copied again.
const SETTLE_BOUND: Duration = Duration::from_mins(3);

/// The bound for an answer of Patroni.
const PATRONI_BOUND: Duration = Duration::from_secs(1);

/// A cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Programs(#[from] EmbeddedError),
    #[error("a program of the cluster cannot be started")]
    Start(#[from] io::Error),
}

/// A running cluster. It ends, and its folder is removed, when it is dropped or when this process ends in any way.
pub struct Cluster {
    pub nodes: Vec<Node>,
    port: u16,
    password: String,
    folder: PathBuf,
    _guard: Guard,
}

impl Cluster {
    /// Starts a cluster, and waits until each node has its role. Returns `None`, and prints a line, when the programs
    /// are not installed.
    ///
    /// # Errors
    /// [`ClusterError`].
    ///
    /// # Panics
    /// When the cluster does not come to full strength.
    pub async fn start(home: &Path) -> Result<Option<Self>, ClusterError> {
        let tools = home.join("tools/bin");
        if let Some(missing) = ["etcd", "haproxy", "patroni"].iter().find(|name| !tools.join(name).exists()) {
            println!("SKIPPED: {missing} is not installed; `deploy/local/setup.sh cluster` installs it");
            return Ok(None);
        }
        let tools = tools.canonicalize()?;
        let account = Unprivileged::find(home, &std::env::temp_dir()).await?;
        let folder = tempfile::Builder::new().prefix("teppan-cluster-").tempdir()?.keep();
        let guard = Guard::set(&folder)?;
        account.make_owner_of(&folder)?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), 20);
        let ports = ports::free(3 + 2 * NODES)?;

        let etcd = format!("127.0.0.1:{}", ports[0]);
        start_etcd(&account, &tools, &folder, &etcd, ports[1])?;
        let nodes = (0..NODES).map(|index| Node {
            name: format!("node{}", index + 1),
            port: ports[3 + index],
            rest_port: ports[3 + NODES + index],
            data: folder.join(format!("node{}", index + 1)),
        });
        let nodes: Vec<_> = nodes.collect();
        for node in &nodes {
            start_patroni(&account, &tools, &folder, &etcd, &password, node)?;
        }
        start_haproxy(&account, &tools, &folder, ports[2], &nodes)?;
        let cluster = Self { nodes, port: ports[2], password, folder, _guard: guard };
        cluster.settled().await;
        Ok(Some(cluster))
    }

    /// The URL of a database through HAProxy, which leads to the primary.
    pub fn url(&self, database: &str) -> SecretString {
        self.url_on(self.port, database)
    }

    fn url_on(&self, port: u16, database: &str) -> SecretString {
        format!("postgres://postgres:{}@127.0.0.1:{port}/{database}?sslmode=disable", self.password).into()
    }

    /// The folder with the programs' logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Creates a database.
    ///
    /// # Panics
    /// When PostgreSQL refuses.
    pub async fn create_database(&self, name: &str) {
        let mut connection = self.connect(self.port).await.expect("the primary answers");
        let create = format!("CREATE DATABASE {name}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.expect("a database");
    }

    async fn connect(&self, port: u16) -> Result<PgConnection, sqlx::Error> {
        let url = self.url_on(port, "postgres");
        let connecting = PgConnection::connect(url.expose_secret());
        tokio::time::timeout(Duration::from_secs(1), connecting)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    /// A direct connection to one node, without HAProxy.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn connect_to(&self, node: &Node) -> Result<PgConnection, sqlx::Error> {
        self.connect(node.port).await
    }

    /// The node to which HAProxy leads.
    pub async fn primary(&self) -> Option<&Node> {
        let mut connection = self.connect(self.port).await.ok()?;
        let port = sqlx::query_scalar::<_, i32>("SELECT inet_server_port() WHERE NOT pg_is_in_recovery()");
        let port = port.fetch_one(&mut connection).await.ok()?;
        self.nodes.iter().find(|node| i32::from(node.port) == port)
    }

    /// Whether a plain client with a new connection can write a row within a second.
    pub async fn can_be_written_to(&self) -> bool {
        let write = async {
            let mut connection = self.connect(self.port).await?;
            sqlx::raw_sql("CREATE TABLE IF NOT EXISTS written (); INSERT INTO written DEFAULT VALUES")
                .execute(&mut connection)
                .await
        };
        tokio::time::timeout(Duration::from_secs(1), write).await.is_ok_and(|written| written.is_ok())
    }

    /// Whether Patroni knows a synchronous standby. Until then, some seconds after PostgreSQL has one, a dead primary
    /// has no successor and is restarted.
    async fn may_fail_over(&self) -> bool {
        for node in &self.nodes {
            let asked = timeout(PATRONI_BOUND, get(node.rest_port, "/synchronous")).await;
            if asked.is_ok_and(|answer| answer.is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))) {
                return true;
            }
        }
        false
    }

    async fn nodes_that_answer(&self) -> usize {
        let mut count = 0;
        for node in &self.nodes {
            count += usize::from(self.connect_to(node).await.is_ok());
        }
        count
    }

    /// Waits until there is a primary with two standbys, and commits wait for one of them.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn settled(&self) {
        let settled = async || {
            let Ok(mut connection) = self.connect(self.port).await else { return false };
            // A standby that is still being copied streams too.
            let following = sqlx::query_scalar::<_, bool>(
                "SELECT count(*) = 2 AND bool_or(sync_state IN ('sync', 'quorum')) IS TRUE FROM pg_stat_replication \
                 WHERE state = 'streaming' AND application_name LIKE 'node_'",
            );
            following.fetch_one(&mut connection).await.unwrap_or(false)
                && self.nodes_that_answer().await == self.nodes.len()
                && self.may_fail_over().await
        };
        within(SETTLE_BOUND, "the cluster is at full strength", settled).await;
    }
}

fn start_etcd(account: &Unprivileged, tools: &Path, folder: &Path, address: &str, peer: u16) -> io::Result<()> {
    let (client, peer) = (format!("http://{address}"), format!("http://127.0.0.1:{peer}"));
    let mut etcd = account.command(&tools.join("etcd"));
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    etcd.args(["--initial-cluster", &format!("default={peer}"), "--enable-v2", "--log-level", "warn"]);
    spawn(etcd, folder, "etcd")
}

fn start_patroni(
    account: &Unprivileged,
    tools: &Path,
    folder: &Path,
    etcd: &str,
    password: &str,
    node: &Node,
) -> io::Result<()> {
    let (server, rest) = (format!("127.0.0.1:{}", node.port), format!("127.0.0.1:{}", node.rest_port));
    let mut patroni = account.command(&tools.join("patroni"));
    // A copy, because the account may not read the project's folder, and because the guard finds its processes by the
    // folder in their command line.
    let config = folder.join(format!("{}.yml", node.name));
    fs::copy(PATRONI_CONFIG, &config)?;
    patroni.arg(&config);
    patroni.env("PATRONI_NAME", &node.name);
    // The v2 API of etcd: with the v3 API, Patroni 3.0.2 lets a primary that hung become primary again beside its
    // successor.
    patroni.env("PATRONI_ETCD_HOSTS", format!("'{etcd}'"));
    patroni.env("PATRONI_RESTAPI_LISTEN", &rest).env("PATRONI_RESTAPI_CONNECT_ADDRESS", &rest);
    patroni.env("PATRONI_POSTGRESQL_LISTEN", &server).env("PATRONI_POSTGRESQL_CONNECT_ADDRESS", &server);
    patroni.env("PATRONI_POSTGRESQL_DATA_DIR", &node.data);
    patroni.env("PATRONI_POSTGRESQL_BIN_DIR", account.path("postgres").parent().unwrap_or(folder));
    patroni.env("PATRONI_POSTGRESQL_PGPASS", folder.join(format!("{}.pgpass", node.name)));
    for (role, name) in [("SUPERUSER", "postgres"), ("REPLICATION", "replicator"), ("REWIND", "rewinder")] {
        patroni.env(format!("PATRONI_{role}_USERNAME"), name).env(format!("PATRONI_{role}_PASSWORD"), password);
    }
    spawn(patroni, folder, &node.name)
}

fn start_haproxy(account: &Unprivileged, tools: &Path, folder: &Path, port: u16, nodes: &[Node]) -> io::Result<()> {
    let config = folder.join("haproxy.cfg");
    fs::copy(HAPROXY_CONFIG, &config)?;
    let mut haproxy = account.command(&tools.join("haproxy"));
    haproxy.arg("-db").arg("-f").arg(&config).env("PRIMARY_BIND", format!("127.0.0.1:{port}"));
    for (number, node) in (1..).zip(nodes) {
        haproxy.env(format!("NODE_{number}"), format!("127.0.0.1:{}", node.port));
        haproxy.env(format!("NODE_{number}_REST"), node.rest_port.to_string());
    }
    spawn(haproxy, folder, "haproxy")
}

/// Starts a program of the cluster, which logs to a file beside its data. The guard ends it.
fn spawn(mut command: tokio::process::Command, folder: &Path, name: &str) -> io::Result<()> {
    let log = fs::File::create(folder.join(format!("{name}.log")))?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    fs::write(folder.join(format!("{name}.pid")), format!("{}\n", child.id().unwrap_or_default()))
}

/// The answer of the program at a local port, head and body.
async fn get(port: u16, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
