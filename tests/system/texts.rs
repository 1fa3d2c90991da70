//! Every text field of the contract rejects NUL, which PostgreSQL cannot store.

use std::net::SocketAddr;

use prost::{Message as _, encoding};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use teppan_shared::contract::DESCRIPTORS;
use teppan_tests::harness::{Booking, Conversation};
use tonic_types::StatusExt as _;

use crate::raw;

const NUL: &[u8] = b"a\0b";

/// Fields that accept any text: opaque ones, which are only compared, content that is encrypted unchanged, and what is
/// searched for, which is only hashed.
const FREE: [&str; 6] = ["etag", "duplicate_etag", "after", "content", "text", "words"];

/// A text field of a request: its path, and a message with only this field, whose value contains NUL.
struct TextField {
    path: String,
    message: Vec<u8>,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_field_takes_a_nul() {
    let booking = Booking::start().await.ready().await;
    let conversation = Conversation::start().await.ready().await;
    let contract = FileDescriptorSet::decode(DESCRIPTORS).expect("the contract");
    let mut fields = 0;
    for (package, server) in [
        ("teppan.booking.v1", booking.service.server.grpc_addr),
        ("teppan.conversation.v1", conversation.service.server.grpc_addr),
    ] {
        for file in contract.file.iter().filter(|file| file.package() == package) {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{package}.{}/{}", service.name(), method.name());
                    for field in text_fields(&contract, method.input_type()) {
                        fields += 1;
                        assert_refused(server, &path, &field).await;
                    }
                }
            }
        }
    }
    assert!(fields > 100, "{fields}");
}

async fn assert_refused(server: SocketAddr, method: &str, field: &TextField) {
    let status = raw::call(server, method, &field.message, None).await;
    if status.code() == tonic::Code::Unimplemented {
        return;
    }
    let violations = status.get_details_bad_request().map(|it| it.field_violations).unwrap_or_default();
    // A violation in a list names the index of the entry.
    let named = violations.iter().any(|violation| violation.field.replace("[0]", "") == field.path);
    assert!(named, "{method}, {}: {status:?}", field.path);
}

fn text_fields(contract: &FileDescriptorSet, type_name: &str) -> Vec<TextField> {
    let mut found = Vec::new();
    let fields = &message(contract, type_name).field;
    // Of a message with a mask only the fields that it names are read, and no mask is refused by its paths.
    let has_mask = fields.iter().any(|field| field.name() == "update_mask");
    for field in fields {
        match field.r#type() {
            Type::String if !FREE.contains(&field.name()) => {
                found.push(TextField { path: field.name().to_owned(), message: with(field, NUL) });
            }
            Type::Message if field.type_name().starts_with(".teppan.") && !has_mask => {
                found.extend(text_fields(contract, field.type_name()).into_iter().map(|inner| TextField {
                    path: format!("{}.{}", field.name(), inner.path),
                    message: with(field, &inner.message),
                }));
            }
            _ => {}
        }
    }
    found
}

/// The bytes of a message with only this field.
fn with(field: &FieldDescriptorProto, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let tag = u32::try_from(field.number()).expect("a tag");
    encoding::bytes::encode(tag, &value.to_vec(), &mut bytes);
    bytes
}

fn message<'a>(contract: &'a FileDescriptorSet, type_name: &str) -> &'a DescriptorProto {
    let of_file = |file: &'a prost_types::FileDescriptorProto| {
        let name = type_name.strip_prefix(&format!(".{}.", file.package()))?;
        file.message_type.iter().find(|message| message.name() == name)
    };
    contract.file.iter().find_map(of_file).unwrap_or_else(|| panic!("{type_name} is not in the contract"))
}
