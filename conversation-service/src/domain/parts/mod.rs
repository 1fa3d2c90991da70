//! The parts of a message that is not only text.

mod attachment;
mod stored;
mod tool;

use std::fmt;

pub use self::{
    attachment::{Attachment, AttachmentName, AttachmentUri, FileSize, MediaType},
    tool::{CallId, ToolCall, ToolName, ToolOutput, ToolResult},
};
use super::{Content, Role};

const BYTES_MAX: usize = 320 << 10;

/// One part of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Text(Content),
    ToolCall(ToolCall),
    ToolResult(ToolResult),
    Attachment(Attachment),
}

impl Part {
    /// # Errors
    /// When messages of this role have no such parts.
    pub fn belongs_to(&self, role: Role) -> Result<(), &'static str> {
        match self {
            Self::ToolCall(_) if role != Role::Assistant => Err("must be in a message of ROLE_ASSISTANT"),
            Self::ToolResult(_) if role != Role::Tool => Err("must be in a message of ROLE_TOOL"),
            _ => Ok(()),
        }
    }
}

/// The parts of a message: 1 to 64, at most 320 KiB when encoded.
#[derive(Clone, PartialEq)]
pub struct Parts {
    parts: Vec<Part>,
    encoded: Vec<u8>,
}

impl Parts {
    /// More parts are not looked at.
    pub const COUNT_MAX: usize = 64;
    pub const MUST: &'static str = "must be at most 64 parts, and at most 320 KiB when encoded";

    /// # Errors
    /// When there are none, too many, or they are too large.
    pub fn parse(parts: Vec<Part>) -> Result<Self, &'static str> {
        if !(1..=Self::COUNT_MAX).contains(&parts.len()) {
            return Err(Self::MUST);
        }
        let encoded = stored::encode(&parts);
        if encoded.len() <= BYTES_MAX { Ok(Self { parts, encoded }) } else { Err(Self::MUST) }
    }

    /// Decodes the bytes of [`Parts::as_bytes`].
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn read(encoded: Vec<u8>) -> Result<Self, &'static str> {
        let parts = stored::decode(&encoded)?;
        let fits = (1..=Self::COUNT_MAX).contains(&parts.len()) && encoded.len() <= BYTES_MAX;
        if fits { Ok(Self { parts, encoded }) } else { Err(Self::MUST) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }

    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    pub fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    /// The calls of tools.
    pub fn calls(&self) -> impl Iterator<Item = &CallId> {
        self.parts.iter().filter_map(|part| if let Part::ToolCall(call) = part { Some(&call.call_id) } else { None })
    }

    /// The calls that are answered.
    pub fn results(&self) -> impl Iterator<Item = &CallId> {
        self.parts
            .iter()
            .filter_map(|part| if let Part::ToolResult(result) = part { Some(&result.call_id) } else { None })
    }
}

/// Parts stay out of logs.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({} of {} bytes)", self.parts.len(), self.encoded.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: usize) -> Part {
        Part::Text(Content::parse("x".repeat(bytes)).expect("a text"))
    }

    fn call(id: &str) -> Part {
        let call_id = CallId::parse(id.to_owned()).expect("an id");
        let name = ToolName::parse("check_availability".to_owned()).expect("a name");
        Part::ToolCall(ToolCall { call_id, name, arguments: None })
    }

    fn result(id: &str, output: usize) -> Part {
        let call_id = CallId::parse(id.to_owned()).expect("an id");
        let content = ToolOutput::parse("x".repeat(output)).expect("an output");
        Part::ToolResult(ToolResult { call_id, content, is_error: true })
    }

    #[test]
    fn a_message_has_1_to_64_parts_of_320_kib_at_most() {
        assert!(Parts::parse(Vec::new()).is_err());
        assert!(Parts::parse(vec![text(1); 64]).is_ok());
        assert!(Parts::parse(vec![text(1); 65]).is_err());
        let frame = Parts::parse(vec![text(32_000); 10]).expect("it fits").as_bytes().len() - 320_000;
        let most = |last| Parts::parse([vec![text(32_000); 10], vec![text(last)]].concat());
        // The last one has a frame of 6 bytes.
        let room = 327_680 - 320_000 - frame - 6;
        assert_eq!(most(room).expect("320 KiB").as_bytes().len(), 327_680);
        assert!(most(room + 1).is_err());
    }

    #[test]
    fn a_call_is_the_assistants_and_a_result_the_tools() {
        for (role, may_call, may_answer) in [
            (Role::User, false, false),
            (Role::Assistant, true, false),
            (Role::System, false, false),
            (Role::Tool, false, true),
        ] {
            assert_eq!(call("a").belongs_to(role).is_ok(), may_call, "{role:?}");
            assert_eq!(result("a", 1).belongs_to(role).is_ok(), may_answer, "{role:?}");
            assert!(text(1).belongs_to(role).is_ok());
        }
    }

    #[test]
    fn the_ids_of_calls_and_results_are_found() {
        let parts = Parts::parse(vec![call("a"), text(1), result("b", 0), call("c")]).expect("parts");
        assert_eq!(parts.calls().map(CallId::as_str).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(parts.results().map(CallId::as_str).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn parts_are_not_printed() {
        let parts = Parts::parse(vec![Part::Text(Content::parse("Mina Sato".to_owned()).expect("short"))]);
        assert_eq!(format!("{:?}", parts.expect("a part")), "Parts(1 of 13 bytes)");
    }
}
