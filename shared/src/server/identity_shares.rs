//! The share that each caller has of the pools, over all its connections.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::pools::Holder;
use crate::identity::{Identity, Proof};

/// Unused entries are removed only when there are more entries than this.
const KEPT_MIN: usize = 64;

/// The holders of the callers that have running calls.
#[derive(Default)]
pub struct IdentityShares(Mutex<Shares>);

#[derive(Default)]
struct Shares {
    /// The key includes whether the name is from the issuer: the same name in the credentials file is another caller.
    by_name: HashMap<(bool, Arc<str>), Weak<Holder>>,
    purged_at: usize,
}

impl IdentityShares {
    /// The caller's holder. It stays the same while the caller holds permits.
    pub fn of(&self, identity: &Identity) -> Arc<Holder> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (identity.proof == Proof::Jwt, Arc::clone(&identity.name));
        if let Some(holder) = shares.by_name.get(&key).and_then(Weak::upgrade) {
            return holder;
        }
        if shares.by_name.len() >= shares.purged_at.max(KEPT_MIN) {
            shares.by_name.retain(|_, holder| holder.strong_count() > 0);
            shares.purged_at = 2 * shares.by_name.len();
        }
        let holder = Arc::default();
        shares.by_name.insert(key, Arc::downgrade(&holder));
        holder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Roles;

    fn identity(name: &str, proof: Proof) -> Identity {
        Identity { name: name.into(), roles: Roles::NONE, proof, expires_at_seconds: None }
    }

    #[test]
    fn a_caller_has_the_same_holder_by_token_and_by_certificate_and_other_callers_have_others() {
        let shares = IdentityShares::default();
        let holder = shares.of(&identity("a", Proof::Token));
        assert!(Arc::ptr_eq(&holder, &shares.of(&identity("a", Proof::Certificate))));
        assert!(!Arc::ptr_eq(&holder, &shares.of(&identity("a", Proof::Jwt))));
        assert!(!Arc::ptr_eq(&holder, &shares.of(&identity("b", Proof::Token))));
    }

    #[test]
    fn the_holders_of_callers_without_calls_are_removed() {
        let shares = IdentityShares::default();
        let held: Vec<_> = (0..100).map(|n| shares.of(&identity(&format!("held-{n}"), Proof::Jwt))).collect();
        for n in 0..10_000 {
            shares.of(&identity(&n.to_string(), Proof::Jwt));
        }
        assert!(shares.0.lock().expect("no panic").by_name.len() <= 3 * held.len());
        assert!(Arc::ptr_eq(&held[7], &shares.of(&identity("held-7", Proof::Jwt))));
    }
}
