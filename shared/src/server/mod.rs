//! The assembly both services run in: gRPC, HTTP, health, reflection, readiness, and a stop that
//! fails no request.

mod buffered_stream;
pub mod codec;
mod complete_status;
mod ending;
mod http_server;
mod methods;
mod readiness;
mod request;

use std::{io, net::SocketAddr, time::Duration};

use futures::TryStreamExt as _;
use rand::Rng as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::server::{Server as Grpc, TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{
    buffered_stream::BufferedStream,
    request::{RequestLayer, Stop},
};
pub use self::{readiness::Readiness, request::Bounds};
use crate::{
    config::ServerSettings,
    contract,
    error_chain::error_chain,
    postgres::Database,
    tasks::{LAST_WORDS, Tasks},
};

/// The health service that tells only whether the process works, whatever the database does.
const LIVENESS: &str = "liveness";
/// Connections are renewed at about this age, so that clients spread over new replicas.
const CONNECTION_AGE: Duration = Duration::from_mins(30);
const CONNECTION_AGE_GRACE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_mins(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What workers may take to end after the servers have.
const TASKS_BOUND: Duration = Duration::from_secs(5);

/// What one service brings to the assembly.
pub struct Parts {
    /// Full names of the gRPC services, for health.
    pub services: &'static [&'static str],
    pub grpc: Routes,
    /// HTTP routes beside `/metrics`, `/livez` and `/readyz`.
    pub http: axum::Router,
    pub database: Database,
    pub migrator: &'static sqlx::migrate::Migrator,
    pub registry: Option<prometheus::Registry>,
}

/// A running service.
pub struct Server {
    /// Where the servers listen: with port 0 in the settings, the port they were given.
    pub grpc_addr: SocketAddr,
    pub http_addr: SocketAddr,
    settings: ServerSettings,
    health: HealthReporter,
    services: &'static [&'static str],
    readiness: Readiness,
    stop: Stop,
    serving: Tasks,
    background: Tasks,
}

impl Server {
    /// Listens, and serves until [`Server::stop`]. Ready as soon as the database is there and its
    /// migrations are applied.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn start(settings: ServerSettings, parts: Parts, background: Tasks) -> io::Result<Self> {
        let grpc_listener = listen("LISTEN_ADDR", settings.listen_addr).await?;
        let http_listener = listen("HTTP_ADDR", settings.http_addr).await?;
        let (grpc_addr, http_addr) = (grpc_listener.local_addr()?, http_listener.local_addr()?);

        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status(LIVENESS, ServingStatus::Serving).await;
        readiness::tell(&health, parts.services, false).await;
        let readiness = Readiness::default();
        background.spawn(
            "readiness",
            readiness::follow(
                readiness.clone(),
                parts.database.clone(),
                parts.migrator,
                health.clone(),
                parts.services,
                background.stopping(),
            ),
        );

        let stop = Stop::default();
        let serving = Tasks::default();
        let routes = parts
            .grpc
            .add_service(health_service)
            .add_service(reflection(parts.services).build_v1().map_err(io::Error::other)?)
            // grpcurl 1.8 and Postman still ask for the older version.
            .add_service(reflection(parts.services).build_v1alpha().map_err(io::Error::other)?);
        serving.spawn("grpc server", {
            let (mut grpc, drain) = (grpc_server(&settings, stop.clone()), stop.drain.clone());
            async move {
                let served = grpc
                    .add_routes(routes)
                    .serve_with_incoming_shutdown(
                        TcpIncoming::from(grpc_listener).with_nodelay(Some(true)).map_ok(BufferedStream::new),
                        drain.cancelled_owned(),
                    )
                    .await;
                if let Err(error) = served {
                    tracing::error!(error = error_chain(&error), "the gRPC server failed");
                }
            }
        });
        let routes = http_server::routes(readiness.clone(), parts.registry).merge(parts.http);
        serving.spawn(
            "http server",
            http_server::serve(http_listener, routes, http_server::HEAD_TIME, stop.drain.clone()),
        );

        Ok(Self {
            grpc_addr,
            http_addr,
            settings,
            health,
            services: parts.services,
            readiness,
            stop,
            serving,
            background,
        })
    }

    /// Whether the database is there and calls can be answered.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Stops without failing a call: health says NOT_SERVING, a pause lets load balancers notice,
    /// no new calls are taken and the running ones end, or are ended at the bound. Cancelling
    /// `at_once` ends the pause and the waiting: running calls are cut off.
    pub async fn stop(self, at_once: &CancellationToken) {
        self.readiness.drain();
        readiness::tell(&self.health, self.services, false).await;
        at_once.run_until_cancelled(tokio::time::sleep(self.settings.shutdown_pause)).await;
        self.stop.drain.cancel();
        // A silent peer can keep the library's own graceful stop waiting for ever.
        let drain_bound = self.settings.shutdown_drain;
        let ended = self.serving.stop(drain_bound + LAST_WORDS, at_once);
        tokio::pin!(ended);
        let drained = at_once.run_until_cancelled(tokio::time::timeout(drain_bound, &mut ended)).await;
        if !matches!(drained, Some(Ok(()))) {
            self.stop.cut.cancel();
            ended.await;
        }
        self.background.stop(TASKS_BOUND, at_once).await;
    }
}

async fn listen(setting: &str, address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let way_out = match error.kind() {
            io::ErrorKind::AddrInUse => "end what listens there, or set another address",
            _ => "set another address",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}, which is {setting}: {error}; {way_out}"))
    })
}

fn grpc_server(
    settings: &ServerSettings,
    stop: Stop,
) -> Grpc<tower::layer::util::Stack<RequestLayer, tower::layer::util::Identity>> {
    // Jitter, a number for each process: replicas that were started together renew at different times.
    let age = CONNECTION_AGE.mul_f64(rand::rng().random_range(0.9..1.1));
    Grpc::builder()
        .max_connection_age(age)
        .max_connection_age_grace(CONNECTION_AGE_GRACE)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(RequestLayer::new(settings.request_timeout, settings.max_in_flight, stop))
}

/// Reflection over the contract that lists this server's own services.
fn reflection(services: &'static [&'static str]) -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(contract::DESCRIPTORS)
        // Without these two grpcurl cannot call health, and prints error details as base64.
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
    services
        .iter()
        .chain(&["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"])
        .fold(builder, |builder, service| builder.with_service_name(*service))
}
