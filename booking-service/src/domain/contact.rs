//! Names and e-mail addresses of customers. They are personal data: no type here implements Debug or Display.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{
    GivenPhone,
    text::{composed, is_hidden, line},
};

/// A customer's name: 1 to 100 characters, trimmed, in Unicode normal form C.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        line(raw.trim(), 1..=100, "must be 1 to 100 characters").map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An e-mail address in the normal form that identifies a customer. Mail can be sent to this form too: trimmed, in
/// Unicode normal form C and lower case, with the domain in its DNS form (`müller.de` is `xn--mller-kva.de`, by UTS
/// 46), and without unneeded quotes in the local part.
///
/// In this form it has at most 254 octets, 64 of them before the @: the limits of RFC 5321 (4.5.3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        const MUST: &str = "must be an e-mail address such as ada@example.org";
        const OCTETS: &str = "must be an e-mail address of at most 254 octets, 64 of them before the @";
        // No valid address is longer, even with a domain in full-width letters.
        if raw.len() > 1024 {
            return Err(OCTETS);
        }
        let (local, domain) = raw.trim().rsplit_once('@').ok_or(MUST)?;
        // Lower-casing can decompose a character.
        let local = composed(&composed(local).to_lowercase()).into_owned();
        if local.chars().any(is_hidden) {
            return Err("must be an e-mail address without control characters or invisible characters");
        }
        let domain = Uts46::new()
            .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .map_err(|_| MUST)?;
        let email = format!("{}@{domain}", unquoted(&local));
        if email.len() > 254 || email.len() - domain.len() > 65 {
            return Err(OCTETS);
        }
        // Accepts `ada@example.org`; refuses `Ada <ada@example.org>` and a host without a dot.
        let options =
            email_address::Options::default().with_required_tld().without_display_text().without_domain_literal();
        email_address::EmailAddress::parse_with_options(&email, options).map(|_| Self(email)).map_err(|_| MUST)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Removes quotes that the local part does not need: `"ada"@…` is the same mailbox as `ada@…`.
fn unquoted(local: &str) -> Cow<'_, str> {
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return local.into() };
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    if email_address::EmailAddress::is_valid_local_part(&text) && !text.starts_with('"') {
        text.into()
    } else {
        local.into()
    }
}

/// The contact of a customer, with an e-mail address, a telephone number, or both.
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    pub name: Name,
    pub email: Option<Email>,
    pub phone: Option<GivenPhone>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(raw: &str) -> Result<String, &'static str> {
        Email::parse(raw).map(|email| email.0)
    }

    #[test]
    fn spellings_of_one_email_address_have_the_same_normal_form() {
        for (one, other) in [
            ("ada@example.org", " Ada@Example.ORG "),
            ("jose\u{301}@example.org", "JOSÉ@example.org"),
            ("ada@müller.de", "ada@xn--mller-kva.de"),
            ("ada@müller.de", "ada@MU\u{308}LLER.DE"),
            ("ada@müller.de", "ada@XN--MLLER-KVA.de"),
            ("ada@例え.jp", "ada@例え。jp"),
            ("ada@example.org", "ada@ｅｘａｍｐｌｅ.org"),
            ("ada@example.org", "\"ada\"@example.org"),
            ("ada@example.org", "\"a\\da\"@example.org"),
        ] {
            let read = email(one);
            assert!(read.is_ok(), "{one:?}: {read:?}");
            assert_eq!(read, email(other), "{one:?}, {other:?}");
        }
        assert_eq!(
            email("ada@straße.de").as_deref(),
            Ok("ada@xn--strae-oqa.de"),
            "not strasse.de, which is another domain"
        );
        assert_eq!(email("\"a da\"@example.org").as_deref(), Ok("\"a da\"@example.org"));
    }

    #[test]
    fn text_that_is_no_email_address_is_refused() {
        let bad = [
            "",
            "ada",
            "ada@",
            "@example.org",
            "ada@example",
            "Ada <ada@example.org>",
            "a b@example.org",
            "ada@exa mple.org",
            "ada@-example.org",
            "ada@example..org",
            "ada@[127.0.0.1]",
            "ada@xn--\u{fc}.de",
            "ada@exa_mple.org",
            "a\u{200b}da@example.org",
            "a\0da@example.org",
            "ada\u{202e}@example.org",
            "\"\"@example.org",
        ];
        for bad in bad {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_email_address_has_at_most_254_octets_in_its_normal_form() {
        // 64 + 1 + 189.
        let domain = format!("{}.{}.{}.de", "a".repeat(63), "b".repeat(63), "c".repeat(58));
        let longest = format!("{}@{domain}", "n".repeat(64));
        assert_eq!(longest.len(), 254);
        assert_eq!(email(&longest), Ok(longest.clone()));
        assert!(email(&longest.replace('@', "@d")).is_err());
        assert!(email(&format!("{}@example.org", "n".repeat(65))).is_err());
        assert!(email(&format!("{}@example.org", "é".repeat(32))).is_ok());
        assert!(email(&format!("{}@example.org", "é".repeat(33))).is_err(), "66 octets");
        // 60 characters, whose DNS form is longer than a label may be.
        assert!(email(&format!("ada@{}.de", "äö".repeat(30))).is_err());
    }

    #[test]
    fn names_are_trimmed_composed_and_bounded() {
        let name = |raw: &str| Name::parse(raw).map(|name| name.0);
        assert_eq!(name("  Mina Sato "), Ok("Mina Sato".to_owned()));
        assert_eq!(name("Rene\u{301}e"), Ok("Renée".to_owned()));
        for short in ["李", "J", "Ö"] {
            assert_eq!(name(short).as_deref(), Ok(short));
        }
        assert!(name(&"n".repeat(100)).is_ok());
        assert!(name(&"e\u{301}".repeat(100)).is_ok(), "100 characters when composed");
        for bad in ["", "  ", "\u{3000}", "a\nb", "\u{200b}", "Mi\u{200d}na", &"n".repeat(101)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
