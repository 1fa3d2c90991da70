//! The contract's messages as JSON, for commands that print them.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, value::Serializer};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(super::DESCRIPTORS).expect("the compiled contract"));

/// A message with this full name as protobuf maps it to JSON: with the field names of the contract, and without fields
/// that have their default.
///
/// # Panics
/// When the message has another name.
pub fn to_json(name: &str, message: &impl Message) -> Value {
    let descriptor = POOL.get_message_by_name(name).expect("a message of the contract");
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).expect("the same message");
    let options = SerializeOptions::new().use_proto_field_name(true);
    dynamic.serialize_with_options(Serializer, &options).expect("JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::booking::v1::{Contact, Customer};

    #[test]
    fn a_message_has_the_names_of_the_contract_in_json() {
        let contact = Contact { name: "Ada".to_owned(), phone: "+4930123456".to_owned(), ..Default::default() };
        let created_at = Some(pbjson_types::Timestamp { seconds: 7, nanos: 0 });
        let customer = Customer { contact: Some(contact), booking_count: 3, created_at, ..Default::default() };
        let expected = json!({
            "contact": { "name": "Ada", "phone": "+4930123456" },
            "booking_count": "3",
            "created_at": "1970-01-01T00:00:07Z",
        });
        assert_eq!(to_json("teppan.booking.v1.Customer", &customer), expected);
    }
}
