use std::fmt;

use crate::domain::Metadata;

const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// A tool that the assistant calls.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    pub call_id: CallId,
    pub name: ToolName,
    /// By the rules of metadata.
    pub arguments: Option<Metadata>,
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    pub call_id: CallId,
    pub content: ToolOutput,
    pub is_error: bool,
}

/// The id of a tool call, made by the client: 1 to 100 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(String);

impl CallId {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let is_printable = raw.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if (1..=100).contains(&raw.len()) && is_printable {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 100 printable ASCII characters")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a tool: 1 to 64 ASCII letters, digits, dots, underscores and hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolName(String);

impl ToolName {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if (1..=64).contains(&raw.len()) && raw.bytes().all(may_be) {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 64 ASCII letters, digits, dots, underscores and hyphens")
        }
    }

    pub fn into_string(self) -> String {
        self.0
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text that a tool answered: at most 256 KiB, and it may be empty.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolOutput(String);

impl ToolOutput {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        if raw.len() <= OUTPUT_BYTES_MAX { Ok(Self(raw)) } else { Err("must be at most 262,144 bytes of UTF-8") }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// Texts stay out of logs.
impl fmt::Debug for ToolOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolOutput({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_printable_ascii() {
        for good in ["call_8fJ2kQ", "a b", &"x".repeat(100)] {
            assert!(CallId::parse(good.to_owned()).is_ok(), "{good:?}");
        }
        for bad in ["", "ü", "a\n", &"x".repeat(101)] {
            assert!(CallId::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_tool_has_a_short_plain_name() {
        for good in ["check_availability", "mcp.search-2", &"x".repeat(64)] {
            assert!(ToolName::parse(good.to_owned()).is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "a/b", &"x".repeat(65)] {
            assert!(ToolName::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_output_is_counted_in_bytes_and_may_be_empty() {
        for good in [0, 262_144] {
            assert!(ToolOutput::parse("x".repeat(good)).is_ok());
        }
        assert!(ToolOutput::parse("x".repeat(262_145)).is_err());
    }
}
