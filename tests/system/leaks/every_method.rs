//! A call of every method, with a canary in every text of the request.

use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use teppan_shared::contract;

use super::{canaries::Canaries, stack::Stack};
use crate::raw;

/// The texts that `docs/privacy.md` has in clear: ids that clients make.
const IN_CLEAR: [&str; 7] =
    ["conversation_id", "idempotency_key", "claimant", "written_by", "assignee", "source", "call_id"];

/// Requests contain requests of this depth at most.
const DEPTH_MAX: usize = 6;

/// Makes the calls, and returns the errors.
pub async fn call(stack: &Stack, canaries: &Canaries) -> Vec<(&'static str, String)> {
    let files = FileDescriptorSet::decode(contract::DESCRIPTORS).expect("the contract's descriptors");
    let messages: Vec<_> = files.file.iter().flat_map(|file| described(file.package(), &file.message_type)).collect();
    let mut errors = Vec::new();
    for file in &files.file {
        for service in &file.service {
            for method in &service.method {
                let request = encode(&messages, method.input_type(), canaries, 0);
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let booking = file.package() == "teppan.booking.v1";
                let server = if booking { stack.booking.grpc } else { stack.conversation.grpc };
                let status = raw::answer(server, &path, &request).await;
                errors.extend(status.map(|status| ("an error", format!("{status:?}"))));
            }
        }
    }
    assert!(errors.len() > 30, "most such calls are invalid");
    errors
}

/// Messages with their full names, also those within others.
fn described<'a>(parent: &str, messages: &'a [DescriptorProto]) -> Vec<(String, &'a DescriptorProto)> {
    let mut all = Vec::new();
    for message in messages {
        let name = format!("{}.{}", parent.trim_start_matches('.'), message.name());
        all.extend(described(&name, &message.nested_type));
        all.push((name, message));
    }
    all
}

fn encode(messages: &[(String, &DescriptorProto)], name: &str, canaries: &Canaries, depth: usize) -> Vec<u8> {
    let found = messages.iter().find(|(full, _)| *full == name.trim_start_matches('.'));
    let Some((_, message)) = found.filter(|_| depth < DEPTH_MAX) else { return Vec::new() };
    message.field.iter().flat_map(|field| encode_field(messages, field, canaries, depth)).collect()
}

fn encode_field(
    messages: &[(String, &DescriptorProto)],
    field: &FieldDescriptorProto,
    canaries: &Canaries,
    depth: usize,
) -> Vec<u8> {
    let number = u64::try_from(field.number()).expect("positive");
    let bytes = match field.r#type() {
        Type::String if IN_CLEAR.contains(&field.name()) => b"an-id".to_vec(),
        Type::String | Type::Bytes => canaries.text(field.name()).into_bytes(),
        Type::Message => encode(messages, field.type_name(), canaries, depth + 1),
        // A valid one, so that the texts are looked at.
        Type::Enum | Type::Int32 | Type::Int64 | Type::Bool if field.label() != Label::Repeated => {
            let mut varint = Vec::new();
            prost::encoding::encode_varint(number << 3, &mut varint);
            prost::encoding::encode_varint(1, &mut varint);
            return varint;
        }
        _ => return Vec::new(),
    };
    let mut encoded = Vec::new();
    prost::encoding::encode_varint(number << 3 | 2, &mut encoded);
    prost::encoding::encode_varint(bytes.len() as u64, &mut encoded);
    encoded.extend(bytes);
    encoded
}
