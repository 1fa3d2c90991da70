//! The phone regions of venues, as this process last saw them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{GivenPhone, Phone, PhoneFault, PhoneRegion, VenueId};

const VENUES_MAX: usize = 10_000;

/// Saves a call with a national telephone number the round trip of looking up its venue. An entry may be out
/// of date: each statement compares the region by which the number was read with the venue's.
#[derive(Default)]
pub struct PhoneRegions(Mutex<HashMap<VenueId, PhoneRegion>>);

/// A telephone number as far as it was read.
pub struct ReadPhone {
    pub phone: Option<Phone>,
    /// The region by which it was read. `None`: the number depends on no region. Empty: the number is still
    /// unread; no venue's region is empty, so the statement answers the venue's.
    pub region: Option<String>,
}

impl PhoneRegions {
    /// Reads a number by the region that the venue is known to have.
    pub fn read(&self, venue_id: VenueId, given: Option<&GivenPhone>) -> ReadPhone {
        match given {
            None => ReadPhone { phone: None, region: None },
            Some(GivenPhone::International(phone)) => ReadPhone { phone: Some(phone.clone()), region: None },
            Some(given @ GivenPhone::National(_)) => {
                let known = self.lock().get(&venue_id).copied();
                let unread = ReadPhone { phone: None, region: Some(String::new()) };
                known.and_then(|region| ReadPhone::by(region, Some(given)).ok()).unwrap_or(unread)
            }
        }
    }

    /// Remembers the region that the database has for a venue.
    pub fn learn(&self, venue_id: VenueId, region: PhoneRegion) {
        let mut regions = self.lock();
        // Each forgotten venue costs one round trip; this happens once in ten thousand venues.
        if regions.len() >= VENUES_MAX && !regions.contains_key(&venue_id) {
            regions.clear();
        }
        regions.insert(venue_id, region);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<VenueId, PhoneRegion>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadPhone {
    /// Reads a number by the region that its venue has.
    pub fn by(region: PhoneRegion, given: Option<&GivenPhone>) -> Result<Self, PhoneFault> {
        let phone = given.map(|given| given.read(region)).transpose()?;
        Ok(Self { phone, region: Some(region.to_string()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_venues_is_bounded() {
        let (regions, us) = (PhoneRegions::default(), PhoneRegion::parse("US").expect("a region"));
        for _ in 0..=VENUES_MAX {
            regions.learn(VenueId::generate(), us);
            assert!(regions.lock().len() <= VENUES_MAX);
        }
        assert_eq!(regions.lock().len(), 1);
    }
}
