use std::fmt;

const BYTES_MAX: usize = 16 << 10;

/// What the client keeps with a message, in encoded form: at most 16 KiB. What it says is the
/// client's affair.
#[derive(Clone, PartialEq, Eq)]
pub struct Metadata(Vec<u8>);

impl Metadata {
    pub fn parse(encoded: Vec<u8>) -> Result<Self, &'static str> {
        if encoded.len() <= BYTES_MAX { Ok(Self(encoded)) } else { Err("must be at most 16 KiB when encoded") }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// It may hold personal data, which stays out of logs.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_has_16_kib_at_most() {
        assert!(Metadata::parse(Vec::new()).is_ok());
        assert!(Metadata::parse(vec![0; 16_384]).is_ok());
        assert!(Metadata::parse(vec![0; 16_385]).is_err());
    }
}
