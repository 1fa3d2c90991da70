//! How to reach a customer. Everything here is personal data: no type prints itself.

use phonenumber::{Mode, country};

/// A customer's name: 2 to 100 characters, without space around it.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let name = raw.trim();
        if (2..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
            Ok(Self(name.to_owned()))
        } else {
            Err("must be 2 to 100 characters, none of them a control character")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An e-mail address in the form by which customers are told apart: without space around it, in
/// lower case. At most 254 characters (RFC 5321).
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let email = raw.trim().to_lowercase();
        // `ada@example.org`, not `Ada <ada@example.org>`, and not a host without a dot.
        let options =
            email_address::Options::default().with_required_tld().without_display_text().without_domain_literal();
        if email.len() <= 254 && email_address::EmailAddress::parse_with_options(&email, options).is_ok() {
            Ok(Self(email))
        } else {
            Err("must be an e-mail address such as ada@example.org, at most 254 characters")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The country in which national telephone numbers are meant.
#[derive(Debug, Clone, Copy)]
pub struct PhoneRegion(country::Id);

impl std::str::FromStr for PhoneRegion {
    type Err = ();

    fn from_str(raw: &str) -> Result<Self, ()> {
        raw.to_ascii_uppercase().parse().map(Self).map_err(|_| ())
    }
}

/// A telephone number in E.164, such as `+4930123456`.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

impl Phone {
    /// Reads the rules of all countries, which otherwise the first number does.
    pub fn read_rules() {
        let _ = phonenumber::parse(None, "+4930123456");
    }

    /// Reads an international number, or a national one of the region.
    pub fn parse(raw: &str, region: PhoneRegion) -> Result<Self, &'static str> {
        let must = "must be a telephone number, international such as +4930123456 or national";
        if raw.len() > 50 {
            return Err(must);
        }
        let number = phonenumber::parse(Some(region.0), raw).map_err(|_| must)?;
        if !phonenumber::is_valid(&number) {
            return Err(must);
        }
        Ok(Self(number.format().mode(Mode::E164).to_string()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How to reach a customer.
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    pub name: Name,
    pub email: Email,
    pub phone: Option<Phone>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(raw: &str, region: &str) -> Option<String> {
        Phone::parse(raw, region.parse().expect("a region")).ok().map(|phone| phone.0)
    }

    #[test]
    fn one_customer_has_one_email_however_it_is_written() {
        let email = |raw| Email::parse(raw).map(|email| email.0);
        assert_eq!(email(" Ada@Example.ORG "), Ok("ada@example.org".to_owned()));
        for bad in ["", "ada", "ada@", "@example.org", "ada@example", "Ada <ada@example.org>", "a b@example.org"] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
        assert!(email(&format!("{}@example.org", "a".repeat(250))).is_err());
    }

    #[test]
    fn phones_become_e164() {
        assert_eq!(phone("(108) 971-8523", "US"), None, "no area code begins with 1");
        assert_eq!(phone("(408) 971-8523", "US").as_deref(), Some("+14089718523"));
        assert_eq!(phone("030 123456", "de").as_deref(), Some("+4930123456"));
        assert_eq!(phone("+81 3-1234-5678", "US").as_deref(), Some("+81312345678"));
        for bad in ["", "12", "phone", "+", &"1".repeat(60)] {
            assert_eq!(phone(bad, "US"), None, "{bad:?}");
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert!(Name::parse("  Mina Sato ").is_ok_and(|name| name.0 == "Mina Sato"));
        for bad in ["", " a ", "a\nb", &"n".repeat(101)] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }
}
