//! The number of connections that the file descriptors of this process allow.

/// Descriptors for everything else: listeners, the log, files that are read at the start, connections to other
/// services.
const RESERVED: u64 = 64;
/// The least number of connections a server accepts, even with few descriptors, unless its setting is lower.
const CONNECTIONS_MIN: usize = 8;

/// The most connections of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBounds {
    pub grpc: usize,
    /// For each HTTP server.
    pub http: usize,
}

impl ConnectionBounds {
    /// These bounds, or lower ones if the process may not open so many descriptors. Each of the `database` connections
    /// to PostgreSQL takes one.
    pub fn within_descriptors(self, http_servers: usize, database: u32) -> Self {
        // If the limit cannot be read, the settings apply.
        let descriptors = rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
        let bounds = self.within(descriptors, http_servers, database);
        if bounds != self {
            tracing::warn!(
                descriptors,
                grpc = bounds.grpc,
                http = bounds.http,
                "fewer connections than MAX_CONNECTIONS and MAX_HTTP_CONNECTIONS allow, because of the descriptors \
                 this process may open: raise its limit (ulimit -n), or lower the settings"
            );
        }
        bounds
    }

    fn within(self, descriptors: u64, http_servers: usize, database: u32) -> Self {
        let free = descriptors.saturating_sub(RESERVED + u64::from(database));
        let free = usize::try_from(free).unwrap_or(usize::MAX);
        if self.grpc.saturating_add(self.http.saturating_mul(http_servers)) <= free {
            return self;
        }
        let http = self.http.min((free / 4 / http_servers.max(1)).max(CONNECTIONS_MIN));
        let all_http = http.saturating_mul(http_servers);
        Self { grpc: self.grpc.min(free.saturating_sub(all_http).max(CONNECTIONS_MIN)), http }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited_by_the_available_descriptors() {
        let wanted = ConnectionBounds { grpc: 512, http: 256 };
        assert_eq!(wanted.within(1024, 1, 17), wanted);
        assert_eq!(wanted.within(481, 1, 17), ConnectionBounds { grpc: 300, http: 100 });
        assert_eq!(wanted.within(10, 1, 17), ConnectionBounds { grpc: 8, http: 8 });
        assert_eq!(wanted.within(481, 2, 17), ConnectionBounds { grpc: 300, http: 50 });
        let few = ConnectionBounds { grpc: 512, http: 4 };
        assert_eq!(
            few.within(481, 1, 17),
            ConnectionBounds { grpc: 396, http: 4 },
            "never more than the settings allow"
        );
        assert_eq!(wanted.within(u64::MAX, 1, 17), wanted);
    }
}
