//! The methods this server has, from the descriptors that reflection shows.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::contract;

/// The label of whatever is no method of this server: what a caller makes up must not become a label
/// of its own.
const OTHER: &str = "_OTHER";

/// What is to be known of a method before it is called.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// For metrics: `package.Service/Method`.
    pub label: &'static str,
    /// It answers with a stream, which may go on for ever.
    pub streams: bool,
    /// Probes and tools ask it: it is answered under any load.
    pub is_probe: bool,
}

/// The methods of a server, by path.
pub struct Methods(HashMap<&'static str, Method>);

impl Methods {
    /// Every method of the contract, of health and of reflection. Made once for a process: the names
    /// live as long as it does.
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
                        let known = Method {
                            label: &path[1..],
                            streams: method.server_streaming(),
                            is_probe: package.starts_with("grpc."),
                        };
                        methods.insert(path, known);
                    }
                }
            }
        }
        Self(methods)
    }

    pub fn get(&self, path: &str) -> Method {
        let unknown = Method { label: OTHER, streams: false, is_probe: false };
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
        assert!(!create.streams && !create.is_probe);
        assert!(methods.get("/teppan.booking.v1.BookingService/StreamBookingEvents").streams);
        assert!(methods.get("/grpc.health.v1.Health/Watch").is_probe);
        assert_eq!(methods.get("/made.up/Path").label, OTHER);
    }
}
