//! The parts of a message, both ways.

use teppan_shared::{contract::conversation::v1 as wire, status::Violations, wire::given};

use super::decode;
use crate::{
    domain::{
        Attachment, AttachmentName, AttachmentUri, CallId, Content, FileSize, MediaType, Metadata, Part, Parts, Role,
        ToolCall, ToolName, ToolOutput, ToolResult,
    },
    messages::RequestRules,
};

/// `Some(None)` when there are none, `None` when one of them is wrong. `rules` knows the parts before these.
pub fn decode(
    raw: Vec<wire::Part>,
    role: Option<Role>,
    rules: &mut RequestRules,
    violations: &mut Violations,
) -> Option<Option<Parts>> {
    if raw.is_empty() {
        return Some(None);
    }
    // A longer list may be very long; report one violation.
    if raw.len() > Parts::COUNT_MAX {
        violations.add("parts", Parts::MUST);
        return None;
    }
    // All of them first: every wrong part is a violation.
    let parts: Vec<Option<Part>> = raw
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            violations.within(format_args!("parts[{index}]"), |violations| decode_part(part, role, rules, violations))
        })
        .collect();
    let parts = parts.into_iter().collect::<Option<Vec<Part>>>()?;
    violations.check("parts", Parts::parse(parts)).map(Some)
}

fn decode_part(
    part: wire::Part,
    role: Option<Role>,
    rules: &mut RequestRules,
    violations: &mut Violations,
) -> Option<Part> {
    use wire::part::Part as Wire;

    let Some(part) = part.part else {
        violations.add("", "must be one of text, tool_call, tool_result and attachment");
        return None;
    };
    let (name, part) = match part {
        Wire::Text(text) => (".text", violations.check(".text", Content::parse(text)).map(Part::Text)),
        Wire::ToolCall(call) => {
            (".tool_call", violations.within(".tool_call.", |violations| tool_call(call, rules, violations)))
        }
        Wire::ToolResult(result) => {
            (".tool_result", violations.within(".tool_result.", |violations| tool_result(result, rules, violations)))
        }
        Wire::Attachment(file) => {
            (".attachment", violations.within(".attachment.", |violations| attachment(file, violations)))
        }
    };
    let part = part?;
    // A wrong role is reported already.
    violations.check(name, role.map_or(Ok(()), |role| part.belongs_to(role)))?;
    Some(part)
}

fn tool_call(call: wire::ToolCall, rules: &mut RequestRules, violations: &mut Violations) -> Option<Part> {
    let call_id = CallId::parse(call.call_id).and_then(|id| rules.call(&id).map(|()| id));
    let call_id = violations.check("call_id", call_id);
    let name = violations.check("name", ToolName::parse(call.name));
    let arguments = decode::structure("arguments", call.arguments, violations);
    Some(Part::ToolCall(ToolCall { call_id: call_id?, name: name?, arguments: arguments? }))
}

fn tool_result(result: wire::ToolResult, rules: &mut RequestRules, violations: &mut Violations) -> Option<Part> {
    let call_id = CallId::parse(result.call_id).and_then(|id| rules.result(&id).map(|()| id));
    let call_id = violations.check("call_id", call_id);
    let content = violations.check("content", ToolOutput::parse(result.content));
    Some(Part::ToolResult(ToolResult { call_id: call_id?, content: content?, is_error: result.is_error }))
}

fn attachment(file: wire::Attachment, violations: &mut Violations) -> Option<Part> {
    let uri = violations.check("uri", AttachmentUri::parse(file.uri));
    let media_type = violations.check("media_type", MediaType::parse(file.media_type));
    let size_bytes = violations.check_optional("size_bytes", file.size_bytes.map(FileSize::parse));
    let name = violations.check_optional("name", given(file.name).map(AttachmentName::parse));
    Some(Part::Attachment(Attachment { uri: uri?, media_type: media_type?, size_bytes: size_bytes?, name: name? }))
}

pub fn encode(parts: Parts) -> Vec<wire::Part> {
    use wire::part::Part as Wire;

    let encode = |part| match part {
        Part::Text(text) => Wire::Text(text.into_string()),
        Part::ToolCall(call) => Wire::ToolCall(wire::ToolCall {
            call_id: call.call_id.as_str().to_owned(),
            name: call.name.into_string(),
            arguments: call.arguments.map(Metadata::into_fields),
        }),
        Part::ToolResult(result) => Wire::ToolResult(wire::ToolResult {
            call_id: result.call_id.as_str().to_owned(),
            content: result.content.into_string(),
            is_error: result.is_error,
        }),
        Part::Attachment(file) => Wire::Attachment(wire::Attachment {
            uri: file.uri.into_string(),
            media_type: file.media_type.into_string(),
            size_bytes: file.size_bytes.map(FileSize::get),
            name: file.name.map(AttachmentName::into_string).unwrap_or_default(),
        }),
    };
    parts.into_parts().into_iter().map(|part| wire::Part { part: Some(encode(part)) }).collect()
}
