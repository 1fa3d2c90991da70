//! Fields of a request as they go into its fingerprint.

/// A field that may be absent: the sign before what is there tells it from an empty one.
pub fn optional(field: Option<impl AsRef<[u8]>>) -> Vec<u8> {
    field.map_or_else(Vec::new, |field| [b"=", field.as_ref()].concat())
}
