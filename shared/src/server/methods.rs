//! The methods this server has, from the descriptors that reflection shows.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::{
    contract,
    identity::{self, Rule},
};

/// The label of whatever is no method of this server: what a caller makes up must not become a label
/// of its own.
const OTHER: &str = "_OTHER";

/// What the server knows of a method before it calls it.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// For metrics: `package.Service/Method`.
    pub label: &'static str,
    pub kind: Kind,
    /// The method takes a stream of messages, and reads it itself.
    pub takes_stream: bool,
    /// Who may call it, and whether that is written down.
    pub rule: Rule,
}

/// Whose share a call takes, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Does work, and answers once.
    Work,
    /// Answers with a stream, which may go on for ever.
    Stream,
    /// Health checks: they have a pool of their own, so that load does not keep them out.
    Probe,
    /// Watches of health, and reflection.
    ProbeStream,
    /// The server has no such method: the call is refused.
    Unknown,
}

/// The methods of a server, by path.
pub struct Methods(HashMap<&'static str, Method>);

impl Methods {
    /// Every method of the contract, of health and of reflection. To be called once: the names live as long as the
    /// process.
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

    pub fn get(&self, path: &str) -> Method {
        let unknown = Method { label: OTHER, kind: Kind::Unknown, takes_stream: false, rule: identity::rule(OTHER) };
        self.0.get(path).copied().unwrap_or(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_their_path_and_made_up_ones_are_not() {
        let methods = Methods::known();
        let create = methods.get("/teppan.booking.v1.BookingService/CreateBooking");
        assert_eq!(create.label, "teppan.booking.v1.BookingService/CreateBooking");
        assert_eq!(create.kind, Kind::Work);
        assert_eq!(methods.get("/teppan.booking.v1.BookingService/StreamBookingEvents").kind, Kind::Stream);
        assert_eq!(methods.get("/grpc.health.v1.Health/Check").kind, Kind::Probe);
        assert_eq!(methods.get("/grpc.health.v1.Health/Watch").kind, Kind::ProbeStream);
        assert!(methods.get("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").takes_stream);
        assert_eq!(methods.get("/made.up/Path").kind, Kind::Unknown);
    }
}
