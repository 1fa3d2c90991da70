use std::fmt;

const URI_BYTES_MAX: usize = 2048;
const MEDIA_TYPE_BYTES_MAX: usize = 127;

/// A file by reference. What it says is part of the message, and stays out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    pub uri: AttachmentUri,
    pub media_type: MediaType,
    pub size_bytes: Option<FileSize>,
    pub name: Option<AttachmentName>,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attachment")
    }
}

/// An absolute URI in the characters of RFC 3986. A `data:` URI is no reference: it is the file.
#[derive(Clone, PartialEq, Eq)]
pub struct AttachmentUri(String);

impl AttachmentUri {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        const MUST: &str = "must be an absolute URI of at most 2,048 ASCII characters, with any scheme but data";
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        let (scheme, rest) = raw.split_once(':').ok_or(MUST)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let names_host = || rest.strip_prefix("//").is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
        let is_complete = match scheme.to_ascii_lowercase().as_str() {
            "data" => false,
            "http" | "https" => names_host(),
            _ => !rest.is_empty(),
        };
        let fits = raw.len() <= URI_BYTES_MAX && raw.bytes().all(is_allowed);
        if is_scheme && is_complete && fits { Ok(Self(raw)) } else { Err(MUST) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// A media type without parameters, as RFC 6838 has its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType(String);

impl MediaType {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let is_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphanumeric())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        let is_one = raw.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype));
        if is_one && raw.len() <= MEDIA_TYPE_BYTES_MAX {
            Ok(Self(raw))
        } else {
            Err("must be a media type without parameters of at most 127 characters, such as application/pdf")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// The size of a file in bytes: 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSize(i64);

impl FileSize {
    pub fn parse(raw: i64) -> Result<Self, &'static str> {
        if raw >= 0 { Ok(Self(raw)) } else { Err("must be 0 or more") }
    }

    pub fn get(self) -> i64 {
        self.0
    }
}

/// The name of a file: 1 to 255 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq)]
pub struct AttachmentName(String);

impl AttachmentName {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        if (1..=255).contains(&raw.chars().count()) && !raw.contains(char::is_control) {
            Ok(Self(raw))
        } else {
            Err("must be at most 255 characters without control characters")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_absolute_and_refers_to_something() {
        let longest = format!("https://files.example.org/{}", "x".repeat(2048 - 26));
        for good in
            ["https://files.example.org/menu.pdf?v=2#p", "HTTP://a", "s3://bucket/key", "urn:isbn:978", &longest]
        {
            assert!(AttachmentUri::parse(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "menu.pdf",
            "//files.example.org/menu.pdf",
            "https:",
            "https:///menu.pdf",
            "data:text/plain,Hello",
            "DATA:,x",
            "https://files.example.org/a b",
            "https://files.example.org/ü",
            "1a:b",
            ":b",
            "urn:",
            &format!("{longest}x"),
        ] {
            assert!(AttachmentUri::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_media_type_has_two_names_and_no_parameters() {
        for good in ["application/pdf", "image/svg+xml", "application/vnd.oasis.opendocument.text", "x/y"] {
            assert!(MediaType::parse(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "pdf",
            "application/",
            "/pdf",
            "a/b/c",
            "text/plain; charset=utf-8",
            "text/pläin",
            ".a/b",
            &format!("a/{}", "b".repeat(126)),
        ] {
            assert!(MediaType::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_files_name_is_one_line() {
        assert!(AttachmentName::parse("ü".repeat(255)).is_ok());
        for bad in ["", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(AttachmentName::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
