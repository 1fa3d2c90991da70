//! The server of both services: gRPC, HTTP, health, reflection, readiness, and a stop that fails no request.

mod accept;
mod answer;
mod arrive;
mod buffered_stream;
mod call_permits;
mod calls;
pub mod codec;
mod complete_status;
mod connection;
mod deadline;
mod descriptors;
mod ending;
mod grpc_server;
mod handshake;
mod http_server;
mod identity_shares;
mod metadata;
mod methods;
mod open_call;
mod pools;
mod readiness;
mod replay;
mod request;
mod streams;
mod transport;
mod unverified;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{
    accept::Connections,
    calls::Calls,
    descriptors::ConnectionBounds,
    grpc_server::GrpcServer,
    handshake::{Handshake, Protocol},
    http_server::HttpServer,
    pools::Pools,
    readiness::Migrations,
    request::PROBE_MESSAGE_BYTES,
    streams::Streams,
};
pub use self::{
    call_permits::{Bounds, TooManyWaitingCalls},
    readiness::Readiness,
    replay::answer,
    unverified::{UnverifiedBodies, UnverifiedBody, UnverifiedError},
};
use crate::{
    audit::AuditLog,
    config::ServerSettings,
    contract,
    gather::Queue,
    identity::Authenticator,
    postgres::Database,
    tasks::{FORCED_STOP_TIME, Tasks},
    tls::ServerTlsSettings,
};

/// The health service that reports only whether the process works, independent of the database.
const LIVENESS: &str = "liveness";
/// How long workers may take to end after the servers have ended.
const TASKS_BOUND: Duration = Duration::from_secs(5);

/// The gRPC methods of a service.
pub struct GrpcParts {
    pub routes: Routes,
    /// What the calls of some methods wait for.
    pub queues: Vec<Arc<dyn Queue>>,
}

/// The parts of the server that differ between the services.
pub struct Parts {
    /// Such as `booking-service`.
    pub name: &'static str,
    /// Full names of the gRPC services, for health checks.
    pub services: &'static [&'static str],
    pub grpc: GrpcParts,
    /// HTTP routes in addition to `/metrics`, `/livez` and `/readyz`. They have an address of their own if the settings
    /// have one.
    pub http: axum::Router,
    pub database: Database,
    /// The most connections to the database.
    pub database_connections: u32,
    pub migrator: &'static sqlx::migrate::Migrator,
    pub registry: Option<prometheus::Registry>,
}

/// A running service.
pub struct Server {
    /// The addresses of the servers, with the actual port if the setting has port 0.
    pub grpc_addr: SocketAddr,
    pub http_addr: SocketAddr,
    /// The address of the service's own HTTP routes, if it is not `http_addr`.
    pub webhook_addr: Option<SocketAddr>,
    settings: ServerSettings,
    health: HealthReporter,
    services: &'static [&'static str],
    readiness: Readiness,
    /// Cancelled when no more calls are accepted; streams end then.
    drain: CancellationToken,
    /// Cancelled when the running calls must end.
    cut: CancellationToken,
    grpc: Tasks,
    http: HttpTasks,
    background: Tasks,
}

/// The HTTP servers. They stop after gRPC, so that probes and metrics are answered until all calls have ended.
struct HttpTasks {
    drain: CancellationToken,
    tasks: Tasks,
}

impl HttpTasks {
    /// Serves these routes on a listener until the drain, with at most `connections_max` connections.
    fn serve(
        &self,
        name: &'static str,
        listener: TcpListener,
        routes: axum::Router,
        handshake: Handshake,
        connections_max: usize,
    ) {
        let head_time = http_server::HEAD_TIME;
        let server = Arc::new(HttpServer { routes, handshake, head_time, bodies: Arc::default() });
        let connections = Connections::new(name, connections_max, self.drain.clone());
        self.tasks.spawn(name, async move {
            let serve = |stream, connection| {
                let server = Arc::clone(&server);
                async move { server.serve(stream, connection).await }
            };
            connections.serve(listener, serve).await;
        });
    }
}

impl Server {
    /// Listens, and serves until [`Server::stop`]. It is ready when the database is available and the migrations are
    /// applied.
    ///
    /// # Errors
    /// When listening on an address fails, or a TLS file cannot be used.
    pub async fn start(settings: ServerSettings, parts: Parts, background: Tasks) -> io::Result<Self> {
        let grpc_listener = listen("LISTEN_ADDR", settings.listen_addr).await?;
        let http_listener = listen("HTTP_ADDR", settings.http_addr).await?;
        let (grpc_addr, http_addr) = (grpc_listener.local_addr()?, http_listener.local_addr()?);
        let webhook_listener = match settings.webhook_addr {
            Some(address) => Some(listen("WEBHOOK_ADDR", address).await?),
            None => None,
        };
        let webhook_addr = webhook_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let tls = settings.tls.as_ref().map(ServerTlsSettings::open).transpose().map_err(io::Error::other)?;
        let tls = tls.map(Arc::new);
        if let Some(tls) = &tls {
            let follow = Arc::clone(tls).follow(settings.reload_interval, background.stopping());
            background.spawn("server certificate", follow);
        }
        let (authenticator, audit) = start_authentication(parts.name, &settings, &background).await?;

        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status(LIVENESS, ServingStatus::Serving).await;
        readiness::report_health(&health, parts.services, false).await;
        let readiness = Readiness::default();
        readiness.observe();
        background.spawn(
            "readiness",
            readiness::follow(
                readiness.clone(),
                parts.database.clone(),
                Migrations { migrator: parts.migrator, at_start: settings.migrate_at_start },
                health.clone(),
                parts.services,
                background.stopping(),
            ),
        );

        let (drain, cut, grpc) = (CancellationToken::new(), CancellationToken::new(), Tasks::default());
        let http = HttpTasks { drain: CancellationToken::new(), tasks: Tasks::default() };
        let limits = &settings.limits;
        let bounds = ConnectionBounds { grpc: limits.max_connections, http: limits.max_http_connections }
            .within_descriptors(1 + usize::from(webhook_listener.is_some()), parts.database_connections);
        let handshake =
            |protocol| Handshake::new(protocol, tls.clone(), limits.handshake_timeout, limits.write_timeout);
        let routes = parts.grpc.routes.add_service(health_service.max_decoding_message_size(PROBE_MESSAGE_BYTES));
        let routes = with_reflection(routes, parts.services).map_err(io::Error::other)?;
        grpc.spawn("grpc server", {
            let streams = Streams { tasks: TaskTracker::new(), write_timeout: limits.write_timeout };
            let pools = Arc::new(Pools::new(&settings));
            pools::observe(&pools);
            let database = parts.database.clone();
            let grpc = GrpcParts { routes, queues: parts.grpc.queues };
            let calls = Calls::new(grpc, pools, database, authenticator, audit, cut.clone(), &settings);
            let server =
                Arc::new(GrpcServer::new(Arc::new(calls), streams.clone(), handshake(Protocol::Grpc), &settings));
            let connections = Connections::new("grpc", bounds.grpc, drain.clone());
            async move {
                connections
                    .serve(grpc_listener, |stream, connection| {
                        let server = Arc::clone(&server);
                        async move { server.serve(stream, connection).await }
                    })
                    .await;
                // The streams of a connection end with it.
                streams.tasks.close();
                streams.tasks.wait().await;
            }
        });
        let admin = http_server::routes(readiness.clone(), parts.registry);
        let service_routes = http_server::refused_from(drain.clone(), parts.http);
        match webhook_listener {
            Some(listener) => {
                http.serve("http", http_listener, admin, handshake(Protocol::Http), bounds.http);
                http.serve("webhook", listener, service_routes, handshake(Protocol::Http), bounds.http);
            }
            None => {
                http.serve("http", http_listener, admin.merge(service_routes), handshake(Protocol::Http), bounds.http);
            }
        }

        Ok(Self {
            grpc_addr,
            http_addr,
            webhook_addr,
            settings,
            health,
            services: parts.services,
            readiness,
            drain,
            cut,
            grpc,
            http,
            background,
        })
    }

    /// Whether the service can answer calls.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Stops without failing a call. Health reports NOT_SERVING, and a pause lets load balancers notice. Then no new
    /// calls are accepted, and the running ones end, at the latest at the bound. Cancelling `at_once` ends the pause
    /// and cuts off running calls.
    pub async fn stop(self, at_once: &CancellationToken) {
        self.readiness.drain();
        readiness::report_health(&self.health, self.services, false).await;
        at_once.run_until_cancelled(tokio::time::sleep(self.settings.shutdown_pause)).await;
        self.drain.cancel();
        // The library's own graceful stop would wait for ever for a client that does not respond.
        let drain_bound = self.settings.shutdown_drain;
        let drained_by = Instant::now() + drain_bound;
        let ended = self.grpc.stop(drain_bound + FORCED_STOP_TIME, at_once);
        tokio::pin!(ended);
        let drained = at_once.run_until_cancelled(tokio::time::timeout(drain_bound, &mut ended)).await;
        if !matches!(drained, Some(Ok(()))) {
            self.cut.cancel();
            ended.await;
        }
        self.http.drain.cancel();
        self.http.tasks.stop(drained_by.saturating_duration_since(Instant::now()) + FORCED_STOP_TIME, at_once).await;
        self.background.stop(TASKS_BOUND, at_once).await;
    }
}

async fn listen(setting: &str, address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "end the program that listens there, or set another address",
            _ => "set another address",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}, which is {setting}: {error}; {remedy}"))
    })
}

/// Starts the authenticator and the audit log.
async fn start_authentication(
    service: &'static str,
    settings: &ServerSettings,
    background: &Tasks,
) -> io::Result<(Arc<Authenticator>, Option<Arc<AuditLog>>)> {
    let identity = &settings.identity;
    let authenticator =
        Authenticator::start(identity, settings.reload_interval, background).map_err(io::Error::other)?;
    let needs_credentials = !authenticator.allows_anonymous_calls();
    if !needs_credentials {
        tracing::info!("callers need no credentials: CREDENTIALS_FILE and OIDC_ISSUER are not set");
    }
    let message_bytes_max = settings.max_message_bytes;
    let audit = AuditLog::start(service, &identity.audit, needs_credentials, message_bytes_max, background).await?;
    Ok((authenticator, audit))
}

/// Adds reflection in both versions: grpcurl 1.8 and Postman still use the older one.
fn with_reflection(
    routes: Routes,
    services: &'static [&'static str],
) -> Result<Routes, tonic_reflection::server::Error> {
    let new = reflection(services).build_v1()?.max_decoding_message_size(PROBE_MESSAGE_BYTES);
    let old = reflection(services).build_v1alpha()?.max_decoding_message_size(PROBE_MESSAGE_BYTES);
    Ok(routes.add_service(new).add_service(old))
}

/// Reflection of the contract. It lists only this server's services.
fn reflection(services: &'static [&'static str]) -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(contract::DESCRIPTORS)
        // Without these two, grpcurl cannot call health and prints error details as base64.
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        // Each version lists both, so each must describe both. By default it describes only itself.
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    let common =
        ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
    services.iter().chain(&common).fold(builder, |builder, service| builder.with_service_name(*service))
}
