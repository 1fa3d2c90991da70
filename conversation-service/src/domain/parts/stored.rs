//! Parts as they are sealed, in protobuf. The numbers of the fields never change: stored messages have them.

use prost::Message as _;
use prost_types::Struct;

use super::{
    Attachment, AttachmentName, AttachmentUri, CallId, FileSize, MediaType, Part, ToolCall, ToolName, ToolOutput,
    ToolResult,
};
use crate::domain::{Content, Metadata};

#[derive(Clone, PartialEq, prost::Message)]
struct StoredParts {
    #[prost(message, repeated, tag = "1")]
    parts: Vec<StoredPart>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredPart {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(message, tag = "2")]
    ToolCall(StoredCall),
    #[prost(message, tag = "3")]
    ToolResult(StoredResult),
    #[prost(message, tag = "4")]
    Attachment(StoredAttachment),
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredCall {
    #[prost(string, tag = "1")]
    call_id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, optional, tag = "3")]
    arguments: Option<Struct>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredResult {
    #[prost(string, tag = "1")]
    call_id: String,
    #[prost(string, tag = "2")]
    content: String,
    #[prost(bool, tag = "3")]
    is_error: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredAttachment {
    #[prost(string, tag = "1")]
    uri: String,
    #[prost(string, tag = "2")]
    media_type: String,
    #[prost(int64, optional, tag = "3")]
    size_bytes: Option<i64>,
    #[prost(string, optional, tag = "4")]
    name: Option<String>,
}

pub fn encode(parts: &[Part]) -> Vec<u8> {
    let kind = |part: &Part| match part.clone() {
        Part::Text(text) => Kind::Text(text.into_string()),
        Part::ToolCall(call) => Kind::ToolCall(StoredCall {
            call_id: call.call_id.as_str().to_owned(),
            name: call.name.into_string(),
            arguments: call.arguments.map(Metadata::into_fields),
        }),
        Part::ToolResult(result) => Kind::ToolResult(StoredResult {
            call_id: result.call_id.as_str().to_owned(),
            content: result.content.into_string(),
            is_error: result.is_error,
        }),
        Part::Attachment(file) => Kind::Attachment(StoredAttachment {
            uri: file.uri.into_string(),
            media_type: file.media_type.into_string(),
            size_bytes: file.size_bytes.map(FileSize::get),
            name: file.name.map(AttachmentName::into_string),
        }),
    };
    let parts = parts.iter().map(|part| StoredPart { kind: Some(kind(part)) }).collect();
    StoredParts { parts }.encode_to_vec()
}

/// # Errors
/// When the bytes are no parts, or a part is what it may not be.
pub fn decode(encoded: &[u8]) -> Result<Vec<Part>, &'static str> {
    let stored = StoredParts::decode(encoded).map_err(|_| "are no parts")?;
    stored.parts.into_iter().map(|part| decode_part(part.kind.ok_or("has a part of an unknown kind")?)).collect()
}

fn decode_part(kind: Kind) -> Result<Part, &'static str> {
    Ok(match kind {
        Kind::Text(text) => Part::Text(Content::parse(text)?),
        Kind::ToolCall(call) => Part::ToolCall(ToolCall {
            call_id: CallId::parse(call.call_id)?,
            name: ToolName::parse(call.name)?,
            arguments: call.arguments.map(|fields| Metadata::read(fields.encode_to_vec())).transpose()?,
        }),
        Kind::ToolResult(result) => Part::ToolResult(ToolResult {
            call_id: CallId::parse(result.call_id)?,
            content: ToolOutput::parse(result.content)?,
            is_error: result.is_error,
        }),
        Kind::Attachment(file) => Part::Attachment(Attachment {
            uri: AttachmentUri::parse(file.uri)?,
            media_type: MediaType::parse(file.media_type)?,
            size_bytes: file.size_bytes.map(FileSize::parse).transpose()?,
            name: file.name.map(AttachmentName::parse).transpose()?,
        }),
    })
}

#[cfg(test)]
mod tests {
    use prost_types::{Value, value::Kind as ValueKind};

    use super::*;

    #[test]
    fn parts_of_every_kind_are_read_back_as_they_were_written() {
        let call_id = CallId::parse("call_8fJ2kQ".to_owned()).expect("an id");
        let guests = Value { kind: Some(ValueKind::NumberValue(4.0)) };
        let arguments = Struct { fields: [("guests".to_owned(), guests)].into() };
        let parts = [
            Part::Text(Content::parse("One moment.".to_owned()).expect("a text")),
            Part::ToolCall(ToolCall {
                call_id: call_id.clone(),
                name: ToolName::parse("check_availability".to_owned()).expect("a name"),
                arguments: Some(Metadata::parse(arguments).expect("arguments")),
            }),
            Part::ToolResult(ToolResult {
                call_id,
                content: ToolOutput::parse(String::new()).expect("an output"),
                is_error: true,
            }),
            Part::Attachment(Attachment {
                uri: AttachmentUri::parse("https://files.example.org/menu.pdf".to_owned()).expect("a URI"),
                media_type: MediaType::parse("application/pdf".to_owned()).expect("a media type"),
                size_bytes: Some(FileSize::parse(0).expect("a size")),
                name: None,
            }),
        ];
        assert!(decode(&encode(&parts)).expect("readable") == parts);
    }

    #[test]
    fn what_is_no_part_is_refused() {
        let empty = StoredPart { kind: Some(Kind::Text(String::new())) };
        for bad in [StoredPart { kind: None }, empty] {
            assert!(decode(&StoredParts { parts: vec![bad] }.encode_to_vec()).is_err());
        }
        assert!(decode(&[0xff, 1, 2]).is_err());
    }
}
