//! The encoding of request fields for a fingerprint.

/// Encodes an optional field. A present field begins with a sign, so that an empty one differs from an absent one.
pub fn optional(field: Option<impl AsRef<[u8]>>) -> Vec<u8> {
    field.map_or_else(Vec::new, |field| [b"=", field.as_ref()].concat())
}
