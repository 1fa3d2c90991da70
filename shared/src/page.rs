//! Pages of a list, as AIP-158 describes them.
//!
//! A page token contains the cursor of the next page and a hash of the filters. A token that is used with other filters
//! is refused, because its page would be wrong.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// The longest token that is decoded.
const TOKEN_BYTES_MAX: usize = 1024;
/// Bytes of the filters' hash that a token carries.
const FILTER_BYTES: usize = 8;

/// The page sizes of a list.
#[derive(Debug, Clone, Copy)]
pub struct PageSizes {
    pub default: u16,
    pub max: u16,
}

impl PageSizes {
    /// The number of rows of a page: the default for 0, and at most the maximum.
    ///
    /// # Errors
    /// A negative size.
    pub fn parse(self, requested: i32) -> Result<u16, &'static str> {
        match u16::try_from(requested) {
            Ok(0) => Ok(self.default),
            Ok(size) => Ok(size.min(self.max)),
            Err(_) if requested > 0 => Ok(self.max),
            Err(_) => Err("must be 0, for the default, or more"),
        }
    }
}

/// The number of rows of a page: at most `page_size`, and as many as fit into `bytes_max`. It is at least one if there
/// is a row, so that a list always ends.
pub fn fitting(bytes: impl IntoIterator<Item = usize>, bytes_max: usize, page_size: u16) -> usize {
    let mut total = 0_usize;
    let grown = bytes.into_iter().take(page_size.into()).enumerate();
    grown
        .take_while(|(index, bytes)| {
            total = total.saturating_add(*bytes);
            *index == 0 || total <= bytes_max
        })
        .count()
}

/// Why a token cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("must be the next_page_token of an earlier answer, unchanged, or empty")]
    Unreadable,
    #[error("was made for other filters: keep them while paging, or start again without a token")]
    OtherFilters,
}

/// The token of the page that starts after `cursor`, for these filters.
pub fn encode_token(filters: &impl Serialize, cursor: &impl Serialize) -> String {
    let mut token = filters_hash(filters).to_vec();
    token.extend(serde_json::to_vec(cursor).expect("cursors are plain values"));
    BASE64_URL_SAFE_NO_PAD.encode(token)
}

/// The cursor in the token; `None` for the first page.
pub fn decode_token<C: DeserializeOwned>(filters: &impl Serialize, token: &str) -> Result<Option<C>, TokenError> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Unreadable);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Unreadable)?;
    let (hash, cursor) = bytes.split_at_checked(FILTER_BYTES).ok_or(TokenError::Unreadable)?;
    let cursor = serde_json::from_slice(cursor).map_err(|_| TokenError::Unreadable)?;
    if hash != filters_hash(filters) {
        return Err(TokenError::OtherFilters);
    }
    Ok(Some(cursor))
}

fn filters_hash(filters: &impl Serialize) -> [u8; FILTER_BYTES] {
    let text = serde_json::to_vec(filters).expect("filters are plain values");
    Sha256::digest(text)[..FILTER_BYTES].try_into().expect("a hash is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: PageSizes = PageSizes { default: 50, max: 100 };

    #[test]
    fn a_page_has_the_default_size_and_never_more_than_the_maximum() {
        assert_eq!(SIZES.parse(0), Ok(50));
        assert_eq!(SIZES.parse(7), Ok(7));
        assert_eq!(SIZES.parse(i32::MAX), Ok(100));
        assert!(SIZES.parse(-1).is_err());
    }

    #[test]
    fn a_page_stays_within_its_bytes_but_has_at_least_one_row() {
        assert_eq!(fitting([4, 4, 2, 1], 10, 50), 3);
        assert_eq!(fitting([4, 4, 2, 1], 10, 2), 2);
        assert_eq!(fitting([11, 1], 10, 50), 1);
        assert_eq!(fitting([4, usize::MAX, 1], 10, 50), 1);
        assert_eq!(fitting([], 10, 50), 0);
    }

    #[test]
    fn a_token_returns_its_cursor_only_with_the_same_filters() {
        let token = encode_token(&("venue", 1), &42_i64);
        assert_eq!(decode_token(&("venue", 1), &token), Ok(Some(42_i64)));
        assert_eq!(decode_token::<i64>(&("venue", 2), &token), Err(TokenError::OtherFilters));
        assert_eq!(decode_token::<i64>(&("venue", 1), ""), Ok(None));
        for bad in ["x", "????", &token[1..], &"A".repeat(4000)] {
            assert_eq!(decode_token::<i64>(&("venue", 1), bad), Err(TokenError::Unreadable), "{bad:.20}");
        }
    }
}
