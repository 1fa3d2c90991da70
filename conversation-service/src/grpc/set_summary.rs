use teppan_shared::contract::conversation::v1::SetSummaryRequest;
use tonic::Status;

use super::decode;
use crate::{
    domain::{Content, ConversationId},
    messages::TokenCount,
    summaries::{NewSummary, WrittenBy},
};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: SetSummaryRequest) -> Result<(ConversationId, NewSummary), Status> {
    decode::request(|violations| {
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let through_sequence = violations.check("through_sequence", decode_through(request.through_sequence));
        let text = violations.check("text", Content::parse(request.text));
        let written_by = violations.check("written_by", WrittenBy::parse(request.written_by));
        let token_count = violations.check_optional("token_count", request.token_count.map(TokenCount::parse));
        let summary = NewSummary {
            through_sequence: through_sequence?,
            text: text?,
            written_by: written_by?,
            token_count: token_count?,
        };
        Some((conversation_id?, summary))
    })
}

fn decode_through(raw: i64) -> Result<i64, &'static str> {
    if raw >= 1 { Ok(raw) } else { Err("must be 1 or more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_is_reported_at_once() {
        let request = SetSummaryRequest { written_by: "ü".to_owned(), token_count: Some(-1), ..Default::default() };
        let status = decode(request).expect_err("invalid");
        let details = tonic_types::StatusExt::get_details_bad_request(&status).expect("has details");
        let fields: Vec<_> = details.field_violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["conversation_id", "through_sequence", "text", "written_by", "token_count"]);
    }
}
