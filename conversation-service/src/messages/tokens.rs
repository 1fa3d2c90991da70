/// A number of tokens: 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct TokenCount(i32);

impl TokenCount {
    pub fn parse(raw: i32) -> Result<Self, &'static str> {
        if raw >= 0 { Ok(Self(raw)) } else { Err("must be 0 or more") }
    }

    pub fn get(self) -> i32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_negative() {
        assert_eq!(TokenCount::parse(0).map(TokenCount::get), Ok(0));
        assert!(TokenCount::parse(i32::MAX).is_ok());
        assert!(TokenCount::parse(-1).is_err());
    }
}
