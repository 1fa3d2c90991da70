use std::{collections::BTreeMap, fmt};

use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};

const BYTES_MAX: usize = 16 << 10;
/// The deepest nesting of objects and lists. Each level is up to three nested protobuf messages, and clients decode a
/// hundred levels. Together with the enclosing messages of an answer these are 53, which leaves room for clients that
/// embed an answer in their own messages.
const LEVELS_MAX: usize = 16;
/// The most faults that are reported.
const FAULTS_MAX: usize = 100;
/// The most characters of a name in a path.
const NAME_CHARS_MAX: usize = 50;
/// The most bytes of a reported path; a longer one does not fit into the trailers of an answer.
const PATH_BYTES_MAX: usize = 500;

/// A client's own data about a message, or the arguments of a tool call: at most 16 KiB when encoded, and decodable by
/// every client, in protobuf and in JSON.
#[derive(Clone, PartialEq)]
pub struct Metadata {
    fields: Struct,
    encoded: Vec<u8>,
}

/// A value that some clients could not decode: its path in the metadata, and the requirement.
#[derive(Debug, PartialEq, Eq)]
pub struct MetadataFault {
    pub path: String,
    pub must: &'static str,
}

impl Metadata {
    /// # Errors
    /// The faults, at most the first hundred.
    pub fn parse(fields: Struct) -> Result<Self, Vec<MetadataFault>> {
        let encoded = fields.encode_to_vec();
        if encoded.len() > BYTES_MAX {
            let must = "must be at most 16 KiB when encoded";
            return Err(vec![MetadataFault { path: String::new(), must }]);
        }
        let mut faults = Vec::new();
        check_fields(&fields, &Path::Root, 0, &mut faults);
        if faults.is_empty() { Ok(Self { fields, encoded }) } else { Err(faults) }
    }

    /// Decodes the bytes of [`Metadata::as_bytes`].
    ///
    /// # Errors
    /// When the bytes are not valid metadata.
    pub fn read(encoded: Vec<u8>) -> Result<Self, &'static str> {
        let fields = Struct::decode(encoded.as_slice()).map_err(|_| "is no Struct")?;
        if fields.encoded_len() > BYTES_MAX {
            return Err("is larger than it may be");
        }
        Ok(Self { fields, encoded })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }

    pub fn into_fields(self) -> Struct {
        self.fields
    }

    /// The texts and numbers by name, for the placeholders of a template. Empty texts count as missing.
    pub fn texts(self) -> BTreeMap<String, String> {
        let text = |kind| match kind {
            Kind::StringValue(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Kind::NumberValue(number) if number.is_finite() => Some(number.to_string()),
            _ => None,
        };
        self.fields.fields.into_iter().filter_map(|(name, value)| Some((name, text(value.kind?)?))).collect()
    }
}

/// Hides the content, because it may be personal data and must not appear in logs.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.encoded.len())
    }
}

/// Collects the faults of an object's values. `levels` counts the objects and lists around it.
fn check_fields(object: &Struct, path: &Path<'_>, levels: usize, faults: &mut Vec<MetadataFault>) {
    for (name, value) in &object.fields {
        check(value, &Path::Field(path, name), levels, faults);
    }
}

fn check(value: &Value, path: &Path<'_>, levels: usize, faults: &mut Vec<MetadataFault>) {
    let must = match &value.kind {
        Some(Kind::StructValue(_) | Kind::ListValue(_)) if levels == LEVELS_MAX => {
            "must not be nested in more than 16 objects and lists"
        }
        Some(Kind::StructValue(object)) => {
            return check_fields(object, &Path::Member(path, "struct_value"), levels + 1, faults);
        }
        Some(Kind::ListValue(list)) => {
            let within = Path::Member(path, "list_value");
            for (index, value) in list.values.iter().enumerate() {
                check(value, &Path::Entry(&within, index), levels + 1, faults);
            }
            return;
        }
        Some(Kind::NumberValue(number)) if !number.is_finite() => "must be a finite number: JSON has no other",
        None => "must have a kind: null_value for nothing",
        Some(Kind::NumberValue(_) | Kind::StringValue(_) | Kind::BoolValue(_) | Kind::NullValue(_)) => return,
    };
    if faults.len() < FAULTS_MAX {
        faults.push(MetadataFault { path: path.shown(), must });
    }
}

/// The path of a value in the metadata.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'static str),
    Field(&'a Path<'a>, &'a str),
    Entry(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// The path, shortened if it is very long.
    fn shown(&self) -> String {
        let path = self.to_string();
        if path.len() <= PATH_BYTES_MAX {
            return path;
        }
        let fitting = path.char_indices().take_while(|(start, char)| start + char.len_utf8() <= PATH_BYTES_MAX);
        fitting.map(|(_, char)| char).chain(['…']).collect()
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(within, name) => write!(f, "{within}.{name}"),
            Self::Field(within, name) => {
                let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
                let more = if shown.len() < name.len() { "…" } else { "" };
                write!(f, "{within}.fields[{:?}]", shown + more)
            }
            Self::Entry(within, index) => write!(f, "{within}.values[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_types::ListValue;

    use super::*;

    fn of<const N: usize>(kinds: [(&str, Option<Kind>); N]) -> Struct {
        Struct { fields: kinds.map(|(name, kind)| (name.to_owned(), Value { kind })).into() }
    }

    fn list(value: Value) -> Value {
        Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) }
    }

    fn object(value: Value) -> Value {
        Value { kind: Some(Kind::StructValue(Struct { fields: [("a".to_owned(), value)].into() })) }
    }

    /// A value inside this many objects or lists.
    fn nested(levels: usize, within: fn(Value) -> Value) -> Struct {
        let inmost = Value { kind: Some(Kind::BoolValue(true)) };
        of([("a", (0..levels).fold(inmost, |value, _| within(value)).kind)])
    }

    fn faults(fields: Struct) -> Vec<(String, &'static str)> {
        let faults = Metadata::parse(fields).expect_err("it is refused");
        faults.into_iter().map(|fault| (fault.path, fault.must)).collect()
    }

    #[test]
    fn only_texts_and_numbers_are_available_to_templates() {
        let metadata = Metadata::parse(of([
            ("venue", Some(Kind::StringValue(" Teppan Garden ".to_owned()))),
            ("guests", Some(Kind::NumberValue(12.0))),
            ("price", Some(Kind::NumberValue(35.5))),
            ("empty", Some(Kind::StringValue(" ".to_owned()))),
            ("flag", Some(Kind::BoolValue(true))),
            ("nothing", Some(Kind::NullValue(0))),
        ]));
        let texts = metadata.expect("readable").texts();
        let texts: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(texts, [("guests", "12"), ("price", "35.5"), ("venue", "Teppan Garden")]);
    }

    #[test]
    fn encoded_metadata_has_at_most_16_kib() {
        let text = |bytes| of([("a", Some(Kind::StringValue("x".repeat(bytes))))]);
        let frame = text(16_000).encoded_len() - 16_000;
        let most = Metadata::parse(text(16_384 - frame)).expect("16 KiB");
        assert_eq!(most.as_bytes().len(), 16_384);
        assert_eq!(faults(text(16_385 - frame)), [(String::new(), "must be at most 16 KiB when encoded")]);
    }

    #[test]
    fn values_that_json_cannot_represent_are_refused_at_any_depth() {
        let list = [
            Kind::NumberValue(1.0),
            Kind::StructValue(of([("b", Some(Kind::NumberValue(f64::NAN))), ("c", None)])),
            Kind::NumberValue(f64::NEG_INFINITY),
        ];
        let list = ListValue { values: list.map(|kind| Value { kind: Some(kind) }).into() };
        let finite = "must be a finite number: JSON has no other";
        let kind = "must have a kind: null_value for nothing";
        assert_eq!(
            faults(of([
                ("an \"odd\"\nname", Some(Kind::NumberValue(f64::INFINITY))),
                ("list", Some(Kind::ListValue(list))),
                ("none", None),
            ])),
            [
                (r#".fields["an \"odd\"\nname"]"#.to_owned(), finite),
                (r#".fields["list"].list_value.values[1].struct_value.fields["b"]"#.to_owned(), finite),
                (r#".fields["list"].list_value.values[1].struct_value.fields["c"]"#.to_owned(), kind),
                (r#".fields["list"].list_value.values[2]"#.to_owned(), finite),
                (r#".fields["none"]"#.to_owned(), kind),
            ]
        );
    }

    #[test]
    fn objects_and_lists_may_be_nested_sixteen_deep_and_no_deeper() {
        for within in [list, object] {
            assert!(Metadata::parse(nested(LEVELS_MAX, within)).is_ok());
            let deeper = faults(nested(LEVELS_MAX + 1, within));
            assert_eq!(deeper.len(), 1, "{deeper:?}");
            assert!(deeper[0].1.starts_with("must not be nested in more than 16"), "{deeper:?}");
        }
    }

    #[test]
    fn at_most_a_hundred_faults_are_reported_and_long_names_and_paths_are_shortened() {
        let values = vec![Value { kind: None }; 4000];
        let many = faults(of([("a", Some(Kind::ListValue(ListValue { values })))]));
        assert_eq!(many.len(), FAULTS_MAX);
        let long = faults(of([(&"喜".repeat(2000), None)]));
        assert_eq!(long[0].0, format!(r#".fields["{}…"]"#, "喜".repeat(50)));
        let named = |value: Value| Value { kind: Some(Kind::StructValue(of([(&"喜".repeat(50), value.kind)]))) };
        let deep = (0..LEVELS_MAX).fold(Value { kind: None }, |value, _| named(value));
        let deep = faults(of([("a", deep.kind)]));
        assert_eq!(deep.len(), 1);
        assert!(deep[0].0.len() <= PATH_BYTES_MAX + '…'.len_utf8() && deep[0].0.ends_with('…'), "{deep:?}");
    }

    #[test]
    fn stored_metadata_are_decoded_and_other_bytes_are_refused() {
        let metadata = Metadata::parse(nested(LEVELS_MAX, object)).expect("readable");
        assert!(Metadata::read(metadata.as_bytes().to_vec()) == Ok(metadata));
        assert!(Metadata::read(vec![1, 2, 3]).is_err());
    }
}
