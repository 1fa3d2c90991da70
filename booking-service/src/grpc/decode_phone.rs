use teppan_shared::{status::Violations, wire::given};

use crate::domain::{GivenPhone, Phone, PhoneFault, PhoneRegion};

/// Reads the region of a number, which may be given without one. `None` for a wrong one.
pub fn decode_region(region: String, violations: &mut Violations) -> Option<Option<PhoneRegion>> {
    let region = given(region).map(|region| PhoneRegion::parse(&region).map_err(|_| PhoneRegion::MUST));
    violations.check_optional("phone_region", region)
}

/// Reads a telephone number that belongs to no venue: with +, or as one of the given region.
pub fn decode(phone: &str, region: Option<Option<PhoneRegion>>, violations: &mut Violations) -> Option<Phone> {
    const MUST: &str = "must begin with + and the calling code of a country, unless phone_region is given";
    let number = violations.check("phone", GivenPhone::parse(phone))?;
    match (&number, region) {
        (GivenPhone::International(phone), _) => Some(phone.clone()),
        (GivenPhone::National(_), Some(Some(region))) => {
            let read: Result<Phone, PhoneFault> = number.read(region);
            violations.check("phone", read)
        }
        (GivenPhone::National(_), Some(None)) => {
            violations.add("phone", MUST);
            None
        }
        (GivenPhone::National(_), None) => None,
    }
}
