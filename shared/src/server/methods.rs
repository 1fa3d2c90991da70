//! The methods of this server, from the descriptors that reflection publishes.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::{
    contract,
    identity::{self, Rule},
};

/// The metric label of unknown methods. A name that a caller invents must not become a label.
const OTHER: &str = "_OTHER";

/// The properties of a method.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// For metrics: `package.Service/Method`.
    pub label: &'static str,
    pub kind: Kind,
    /// The method reads a stream of messages itself.
    pub takes_stream: bool,
    /// The roles that may call it, and whether calls go into the audit log.
    pub rule: Rule,
}

/// The kind of a call. It decides the pool and the time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Does work, and answers once.
    Work,
    /// Answers with a stream, which may go on for ever.
    Stream,
    /// Health checks. They have a pool of their own, so that they succeed under load.
    Probe,
    /// Watches of health, and reflection.
    ProbeStream,
    /// The server has no such method: the call is refused.
    Unknown,
}

/// The methods of a server, by path.
pub struct Methods(HashMap<&'static str, Method>);

impl Methods {
    /// Every method of the contract, of health and of reflection. Call this once: the names are never freed.
    pub fn known() -> Self {
        let mut methods = HashMap::new();
        for descriptors in [
            contract::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            let files = FileDescriptorSet::decode(descriptors).expect("they were compiled with the program").file;
            for file in files {
                let package = file.package().to_owned();
                for service in &file.service {
                    for method in &service.method {
                        let path = format!("/{package}.{}/{}", service.name(), method.name());
                        let path: &'static str = path.leak();
                        let kind = match (package.starts_with("grpc."), method.server_streaming()) {
                            (false, false) => Kind::Work,
                            (false, true) => Kind::Stream,
                            (true, false) => Kind::Probe,
                            (true, true) => Kind::ProbeStream,
                        };
                        let label = &path[1..];
                        let takes_stream = method.client_streaming();
                        let known = Method { label, kind, takes_stream, rule: identity::rule(label) };
                        methods.insert(path, known);
                    }
                }
            }
        }
        Self(methods)
    }

    /// The method with this name, such as `CreateBooking`.
    pub fn named(&self, name: &str) -> Option<Method> {
        self.0.values().find(|method| method.label.rsplit_once('/').is_some_and(|(_, last)| last == name)).copied()
    }

    pub fn get(&self, path: &str) -> Method {
        let unknown = Method { label: OTHER, kind: Kind::Unknown, takes_stream: false, rule: identity::rule(OTHER) };
        self.0.get(path).copied().unwrap_or(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_their_path_and_other_paths_are_unknown() {
        let methods = Methods::known();
        let create = methods.get("/teppan.booking.v1.BookingService/CreateBooking");
        assert_eq!(create.label, "teppan.booking.v1.BookingService/CreateBooking");
        assert_eq!(create.kind, Kind::Work);
        assert_eq!(methods.named("CreateBooking").map(|method| method.label), Some(create.label));
        assert!(methods.named("Booking").is_none());
        assert_eq!(methods.get("/teppan.booking.v1.BookingService/StreamBookingEvents").kind, Kind::Stream);
        assert_eq!(methods.get("/grpc.health.v1.Health/Check").kind, Kind::Probe);
        assert_eq!(methods.get("/grpc.health.v1.Health/Watch").kind, Kind::ProbeStream);
        assert!(methods.get("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").takes_stream);
        assert_eq!(methods.get("/made.up/Path").kind, Kind::Unknown);
    }
}
