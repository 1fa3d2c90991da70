use std::{collections::BTreeMap, fmt};

use prost::Message as _;
use prost_types::{Struct, value::Kind};

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

    /// The texts and numbers in it, by name, as a template fills them in. Empty texts count as missing.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let fields = Struct::decode(self.as_bytes()).map(|decoded| decoded.fields).unwrap_or_default();
        let text = |kind| match kind {
            Kind::StringValue(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Kind::NumberValue(number) if number.is_finite() => Some(number.to_string()),
            _ => None,
        };
        fields.into_iter().filter_map(|(name, value)| Some((name, text(value.kind?)?))).collect()
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
    fn texts_and_numbers_are_read_and_nothing_else() {
        let kinds = [
            ("venue", Kind::StringValue(" Teppan Garden ".to_owned())),
            ("guests", Kind::NumberValue(12.0)),
            ("price", Kind::NumberValue(35.5)),
            ("empty", Kind::StringValue(" ".to_owned())),
            ("none", Kind::NumberValue(f64::NAN)),
            ("flag", Kind::BoolValue(true)),
        ];
        let fields = kinds.map(|(name, kind)| (name.to_owned(), prost_types::Value { kind: Some(kind) }));
        let encoded = Struct { fields: fields.into_iter().collect() }.encode_to_vec();
        let texts = Metadata::parse(encoded).expect("short").texts();
        let texts: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(texts, [("guests", "12"), ("price", "35.5"), ("venue", "Teppan Garden")]);
        assert!(Metadata::parse(vec![1, 2, 3]).expect("short").texts().is_empty());
    }

    #[test]
    fn metadata_has_16_kib_at_most() {
        assert!(Metadata::parse(Vec::new()).is_ok());
        assert!(Metadata::parse(vec![0; 16_384]).is_ok());
        assert!(Metadata::parse(vec![0; 16_385]).is_err());
    }
}
