//! The protobuf contract, compiled from `proto/`: messages, servers and clients. The modules are nested like the
//! packages, because the generated code requires it.

/// The descriptors of all files of the contract and their imports, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod json;

pub mod booking {
    /// `teppan.booking.v1`
    pub mod v1 {
        #![allow(clippy::all, clippy::pedantic, rustdoc::all)]
        tonic::include_proto!("teppan.booking.v1");
        // Events and bookings share these.
        pub use crate::contract::events::v1::{
            BookingStatus, CancellationInitiator, ConsentChannel, ConsentPurpose, PaymentMethod,
        };
    }
}

pub mod conversation {
    /// `teppan.conversation.v1`
    pub mod v1 {
        #![allow(clippy::all, clippy::pedantic, rustdoc::all)]
        tonic::include_proto!("teppan.conversation.v1");
    }
}

pub mod events {
    /// `teppan.events.v1`, with the JSON mapping of protobuf.
    pub mod v1 {
        #![allow(clippy::all, clippy::pedantic, rustdoc::all)]
        tonic::include_proto!("teppan.events.v1");
        include!(concat!(env!("OUT_DIR"), "/teppan.events.v1.serde.rs"));
    }
}
