//! Extracts the ids from the messages of a call, with the contract's descriptors. It takes only values that have the
//! form of an id, so that a misused id field cannot bring other data into the log.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use prost::{
    Message as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    contract,
    conversation_id::{ConversationId, is_loggable},
};

/// The most ids of one kind in a line: the number of entries of the largest page.
const PER_KIND_MAX: usize = 1000;

/// The form of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Uuid,
    ConversationId,
}

/// The fields with ids, and their form. A customer's `user_id` is left out, because on WhatsApp it is a telephone
/// number; so is the id of a conversation that has the characters of an address. `stripe_intent_id` is left out,
/// because it is sealed with the booking's details. Idempotency keys, claim tokens and confirmation codes are left out,
/// because they authorise actions.
const ID_FIELDS: [(&str, Form); 20] = [
    ("booking_id", Form::Uuid),
    ("conversation_id", Form::ConversationId),
    ("conversation_ids", Form::ConversationId),
    ("customer_id", Form::Uuid),
    ("previous_customer_id", Form::Uuid),
    ("dead_letter_id", Form::Uuid),
    ("dead_letter_ids", Form::Uuid),
    ("duplicate_customer_id", Form::Uuid),
    ("follow_up_id", Form::Uuid),
    ("merged_customer_id", Form::Uuid),
    ("merged_customer_ids", Form::Uuid),
    ("message_id", Form::Uuid),
    ("payment_id", Form::Uuid),
    ("source_conversation_id", Form::ConversationId),
    ("source_message_id", Form::Uuid),
    ("special_days_id", Form::Uuid),
    ("unknown_venue_ids", Form::Uuid),
    ("venue_id", Form::Uuid),
    ("venue_ids", Form::Uuid),
    ("waitlist_entry_id", Form::Uuid),
];

/// Ids by the name of their field; a list has the name in the singular.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ids(BTreeMap<&'static str, BTreeSet<String>>);

impl Ids {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, kind: &'static str, form: Form, bytes: &[u8]) {
        let Some(id) = form.read(bytes) else { return };
        let ids = self.0.entry(kind).or_default();
        if ids.len() < PER_KIND_MAX {
            ids.insert(id);
        }
    }
}

impl Form {
    fn read(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Uuid => Uuid::try_parse_ascii(bytes).ok().map(|id| id.to_string()),
            Self::ConversationId => {
                let id = str::from_utf8(bytes).ok()?;
                ConversationId::parse(id.to_owned()).ok().filter(|id| is_loggable(id.as_str())).map(|id| id.to_string())
            }
        }
    }
}

/// The id fields in the two messages of a method.
#[derive(Debug)]
pub struct MethodIds {
    pub request: IdFields,
    pub answer: IdFields,
}

impl MethodIds {
    /// The id fields of all methods, by full name, such as `teppan.booking.v1.BookingService/CreateBooking`.
    pub fn of_all_methods() -> HashMap<&'static str, Self> {
        let files = FileDescriptorSet::decode(contract::DESCRIPTORS).expect("they were compiled with the program").file;
        let mut messages = HashMap::new();
        for file in &files {
            for message in &file.message_type {
                insert(&mut messages, &format!(".{}", file.package()), message);
            }
        }
        let mut methods = HashMap::new();
        for file in &files {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                    let fields = |message| IdFields::of(message, &messages, &mut Vec::new());
                    let ids = Self { request: fields(method.input_type()), answer: fields(method.output_type()) };
                    // This function is called once, so the names may be leaked.
                    methods.insert(&*name.leak(), ids);
                }
            }
        }
        methods
    }
}

fn insert<'a>(messages: &mut HashMap<String, &'a DescriptorProto>, parent: &str, message: &'a DescriptorProto) {
    let name = format!("{parent}.{}", message.name());
    for nested in &message.nested_type {
        insert(messages, &name, nested);
    }
    messages.insert(name, message);
}

/// The fields of a message that are ids or messages with ids, by field number.
#[derive(Debug, Default)]
pub struct IdFields(Vec<(u32, Field)>);

#[derive(Debug)]
enum Field {
    Id(&'static str, Form),
    Message(Arc<IdFields>),
}

impl IdFields {
    /// `around` are the enclosing messages. A recursive message is not followed.
    fn of(name: &str, messages: &HashMap<String, &DescriptorProto>, around: &mut Vec<String>) -> Self {
        let Some(message) = messages.get(name).filter(|_| !around.iter().any(|it| it == name)) else {
            return Self::default();
        };
        around.push(name.to_owned());
        let mut fields = Vec::new();
        for field in &message.field {
            let number = field.number().cast_unsigned();
            match field.r#type() {
                Type::String => {
                    let known = ID_FIELDS.iter().find(|(name, _)| *name == field.name());
                    let id = known.map(|(name, form)| Field::Id(name.strip_suffix('s').unwrap_or(name), *form));
                    fields.extend(id.map(|id| (number, id)));
                }
                Type::Message => {
                    let inner = Self::of(field.type_name(), messages, around);
                    if !inner.0.is_empty() {
                        fields.push((number, Field::Message(Arc::new(inner))));
                    }
                }
                _ => {}
            }
        }
        around.pop();
        Self(fields)
    }

    /// Adds the ids of an encoded message, up to the first invalid byte.
    pub fn collect(&self, message: &[u8], ids: &mut Ids) {
        let _ = self.walk(message, ids);
    }

    fn walk(&self, mut message: &[u8], ids: &mut Ids) -> Result<(), prost::DecodeError> {
        while !message.is_empty() && !self.0.is_empty() {
            let (number, wire_type) = decode_key(&mut message)?;
            let field = self.0.iter().find(|(known, _)| *known == number).map(|(_, field)| field);
            let (Some(field), WireType::LengthDelimited) = (field, wire_type) else {
                skip_field(wire_type, number, &mut message, DecodeContext::default())?;
                continue;
            };
            let length = usize::try_from(decode_varint(&mut message)?).unwrap_or(usize::MAX);
            let Some((value, rest)) = message.split_at_checked(length) else { return Ok(()) };
            message = rest;
            match field {
                Field::Id(kind, form) => ids.add(kind, *form, value),
                Field::Message(inner) => inner.walk(value, ids)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{
        booking::v1::{
            Booking, Contact, CreateBookingRequest, DeadLetterSelection, ListBookingsResponse, RetryDeadLettersRequest,
        },
        conversation::v1::StoreMessageRequest,
    };

    const ID: &str = "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";

    fn found(method: &str, request: &impl prost::Message, answer: &impl prost::Message) -> String {
        let methods = MethodIds::of_all_methods();
        let fields = &methods[method];
        let mut ids = Ids::default();
        fields.request.collect(&request.encode_to_vec(), &mut ids);
        fields.answer.collect(&answer.encode_to_vec(), &mut ids);
        serde_json::to_string(&ids).expect("JSON")
    }

    #[test]
    fn ids_are_found_at_any_depth_and_other_fields_are_left_out() {
        let request = CreateBookingRequest {
            venue_id: ID.to_owned(),
            conversation_id: "web-7f3a91".to_owned(),
            idempotency_key: ID.to_owned(),
            contact: Some(Contact {
                name: "Ada".to_owned(),
                email: "ada@example.org".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let listed = |booking_id: &str| Booking { booking_id: booking_id.to_owned(), ..Default::default() };
        let answer =
            ListBookingsResponse { bookings: vec![listed(ID), listed(&ID.replace('0', "1"))], ..Default::default() };
        let create = "teppan.booking.v1.BookingService/CreateBooking";
        assert_eq!(
            found(create, &request, &()),
            format!(r#"{{"conversation_id":["web-7f3a91"],"venue_id":["{ID}"]}}"#)
        );
        let list = "teppan.booking.v1.BookingService/ListBookings";
        assert_eq!(found(list, &(), &answer), format!(r#"{{"booking_id":["{ID}","{}"]}}"#, ID.replace('0', "1")));
        let selection = DeadLetterSelection { dead_letter_ids: vec![ID.to_owned()], ..Default::default() };
        let retry = RetryDeadLettersRequest { selection: Some(selection) };
        let found = found("teppan.booking.v1.OutboxService/RetryDeadLetters", &retry, &());
        assert_eq!(found, format!(r#"{{"dead_letter_id":["{ID}"]}}"#));
    }

    #[test]
    fn ids_of_conversations_that_may_be_addresses_are_left_out() {
        for address in ["whatsapp:+4915112345678", "ada@example.org", "https://chat.example.org/ada"] {
            let request = StoreMessageRequest {
                conversation_id: address.to_owned(),
                message_id: ID.to_owned(),
                ..Default::default()
            };
            assert_eq!(
                found("teppan.conversation.v1.ConversationService/StoreMessage", &request, &()),
                format!(r#"{{"message_id":["{ID}"]}}"#)
            );
        }
    }

    #[test]
    fn values_without_the_form_of_an_id_are_left_out() {
        let request = StoreMessageRequest {
            conversation_id: "my name is Ada".to_owned(),
            message_id: "ada@example.org".to_owned(),
            user_id: "+4915112345678".to_owned(),
            content: ID.to_owned(),
            ..Default::default()
        };
        assert_eq!(found("teppan.conversation.v1.ConversationService/StoreMessage", &request, &()), "{}");
    }

    #[test]
    fn the_ids_before_the_first_invalid_byte_are_found() {
        let methods = MethodIds::of_all_methods();
        let fields = &methods["teppan.booking.v1.BookingService/GetBooking"].request;
        let message =
            crate::contract::booking::v1::GetBookingRequest { booking_id: ID.to_owned(), ..Default::default() };
        let mut broken = message.encode_to_vec();
        broken.extend([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, b'x']);
        let mut ids = Ids::default();
        fields.collect(&broken, &mut ids);
        assert_eq!(ids.0["booking_id"].len(), 1);
        for bytes in [&[0xff; 20][..], &[0x0b, 0x0b, 0x0b], &[0x0a]] {
            fields.collect(bytes, &mut ids);
        }
    }

    /// A new field whose name ends with `_id` or `_ids` must be listed in `ID_FIELDS` or here.
    #[test]
    fn every_field_named_like_an_id_is_extracted_or_explicitly_left_out() {
        // Models make the ids of tool calls, which may contain anything.
        const LEFT_OUT: [&str; 4] = ["user_id", "event_id", "call_id", "stripe_intent_id"];
        for file in FileDescriptorSet::decode(contract::DESCRIPTORS).expect("descriptors").file {
            for message in file.message_type.iter().filter(|_| file.package().starts_with("teppan.")) {
                let names = message.field.iter().map(prost_types::FieldDescriptorProto::name);
                for name in names.filter(|name| name.ends_with("_id") || name.ends_with("_ids")) {
                    let known = ID_FIELDS.iter().any(|(known, _)| *known == name);
                    assert!(known != LEFT_OUT.contains(&name), "{}.{name}", message.name());
                }
            }
        }
    }
}
