//! What all calls of a server share.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::{
    GrpcParts,
    identity_shares::IdentityShares,
    methods::{Method, Methods},
    open_call::CallMetrics,
    pools::Pools,
};
use crate::{
    audit::AuditLog,
    config::ServerSettings,
    gather::Queue,
    identity::Authenticator,
    postgres::{Database, DatabaseError},
};

/// The calls of a server.
pub struct Calls {
    pub routes: Routes,
    pub pools: Arc<Pools>,
    pub database: Database,
    /// By the label of their method.
    queues: Vec<(&'static str, Arc<dyn Queue>)>,
    pub authenticator: Arc<Authenticator>,
    pub shares: IdentityShares,
    pub audit: Option<Arc<AuditLog>>,
    /// Cancelled when the running calls must end.
    pub cut: CancellationToken,
    pub methods: Methods,
    pub metrics: CallMetrics,
    pub timeout: Duration,
    pub arrival_timeout: Duration,
    pub message_bytes_max: usize,
}

impl Calls {
    pub fn new(
        grpc: GrpcParts,
        pools: Arc<Pools>,
        database: Database,
        authenticator: Arc<Authenticator>,
        audit: Option<Arc<AuditLog>>,
        cut: CancellationToken,
        settings: &ServerSettings,
    ) -> Self {
        let methods = Methods::known();
        let labelled = |queue: Arc<dyn Queue>| (methods.named(queue.method()).expect("a method").label, queue);
        let queues = grpc.queues.into_iter().map(labelled).collect();
        Self {
            routes: grpc.routes.prepare(),
            pools,
            database,
            queues,
            authenticator,
            shares: IdentityShares::default(),
            audit,
            cut,
            methods,
            metrics: CallMetrics::new(),
            timeout: settings.request_timeout,
            arrival_timeout: settings.limits.arrival_timeout,
            message_bytes_max: settings.max_message_bytes,
        }
    }

    /// Checks that a call with this much time would get its connection, and from its method's queue its answer, in half
    /// of it.
    ///
    /// # Errors
    /// `Overloaded` when it would not.
    pub fn check_queues(&self, method: Method, left: Duration) -> Result<(), DatabaseError> {
        self.database.admit(left)?;
        let queue = self.queues.iter().find(|(label, _)| *label == method.label);
        queue.map_or(Ok(()), |(_, queue)| queue.admit(left))
    }
}
