//! Macros for small types that cannot contain an invalid value: texts, numbers and ids.

/// The only character that PostgreSQL cannot store in text.
pub const NUL: char = '\0';

/// A text with a bounded number of characters, none of them U+0000.
macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $chars:expr, $must:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn parse(raw: String) -> Result<Self, &'static str> {
                if !$chars.contains(&raw.chars().count()) {
                    Err($must)
                } else if raw.contains($crate::domain::NUL) {
                    Err("must not contain the character U+0000")
                } else {
                    Ok(Self(raw))
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

/// A text of 1 to 100 printable ASCII characters.
macro_rules! printable_text {
    ($(#[$doc:meta])* $name:ident, $must:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn parse(raw: String) -> Result<Self, &'static str> {
                let is_printable = raw.bytes().all(|byte| (b' '..=b'~').contains(&byte));
                if is_printable && (1..=100).contains(&raw.len()) { Ok(Self(raw)) } else { Err($must) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

/// A whole number within bounds. If there is a default, 0 means the default.
macro_rules! bounded_number {
    ($(#[$doc:meta])* $name:ident, $range:expr, $must:literal $(, 0 => $default:literal)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(i32);

        impl $name {
            pub fn parse(raw: i32) -> Result<Self, &'static str> {
                $(let raw = if raw == 0 { $default } else { raw };)?
                if $range.contains(&raw) { Ok(Self(raw)) } else { Err($must) }
            }

            pub fn get(self) -> i32 {
                self.0
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl $name {
            pub fn generate() -> Self {
                Self(uuid::Uuid::now_v7())
            }

            pub fn parse(raw: &str) -> Result<Self, &'static str> {
                let must = "must be a UUID, such as 0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";
                uuid::Uuid::try_parse(raw).map(Self).map_err(|_| must)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

pub(crate) use {bounded_number, bounded_text, printable_text, uuid_id};
