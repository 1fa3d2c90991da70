//! A cache of the venues' phone regions.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{GivenPhone, Phone, PhoneFault, PhoneRegion, VenueId};

const VENUES_MAX: usize = 10_000;

/// Saves a round trip to look up the venue when a call has a national telephone number. An entry may be outdated, so
/// each statement compares the region with which the number was read with the venue's region.
#[derive(Default)]
pub struct PhoneRegions(Mutex<HashMap<VenueId, PhoneRegion>>);

/// A telephone number, and the region with which it was read.
pub struct ReadPhone {
    pub phone: Option<Phone>,
    /// `None`: the number depends on no region. Empty: the number was not read, because the region is not known; no
    /// venue has an empty region, so the statement returns the venue's region.
    pub region: Option<String>,
}

impl PhoneRegions {
    /// Reads a number with the cached region of the venue.
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

    /// Caches the region that the database has for a venue.
    pub fn learn(&self, venue_id: VenueId, region: PhoneRegion) {
        let mut regions = self.lock();
        // Each removed venue costs one round trip; this happens at most once for each ten thousand new venues.
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
    /// Reads a number with this region.
    pub fn by(region: PhoneRegion, given: Option<&GivenPhone>) -> Result<Self, PhoneFault> {
        let phone = given.map(|given| given.read(region)).transpose()?;
        Ok(Self { phone, region: Some(region.to_string()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_of_phone_regions_is_bounded() {
        let (regions, us) = (PhoneRegions::default(), PhoneRegion::parse("US").expect("a region"));
        for _ in 0..=VENUES_MAX {
            regions.learn(VenueId::generate(), us);
            assert!(regions.lock().len() <= VENUES_MAX);
        }
        assert_eq!(regions.lock().len(), 1);
    }
}
