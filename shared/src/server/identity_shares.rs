//! The share that each caller has of the pools, over all its connections.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::pools::Holder;
use crate::identity::{Identity, Proof};

/// So many entries are kept before those that nobody holds are removed.
const KEPT_MIN: usize = 64;

/// The holders of callers that have calls now.
#[derive(Default)]
pub struct IdentityShares(Mutex<Shares>);

#[derive(Default)]
struct Shares {
    /// A name of the issuer's is not the same name in the credentials file.
    by_name: HashMap<(bool, Arc<str>), Weak<Holder>>,
    purged_at: usize,
}

impl IdentityShares {
    /// The caller's holder: the same one for as long as it holds anything.
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
    fn a_caller_has_one_holder_by_token_and_certificate_and_another_caller_another() {
        let shares = IdentityShares::default();
        let holder = shares.of(&identity("a", Proof::Token));
        assert!(Arc::ptr_eq(&holder, &shares.of(&identity("a", Proof::Certificate))));
        assert!(!Arc::ptr_eq(&holder, &shares.of(&identity("a", Proof::Jwt))));
        assert!(!Arc::ptr_eq(&holder, &shares.of(&identity("b", Proof::Token))));
    }

    #[test]
    fn callers_without_calls_take_no_memory() {
        let shares = IdentityShares::default();
        let held: Vec<_> = (0..100).map(|n| shares.of(&identity(&format!("held-{n}"), Proof::Jwt))).collect();
        for n in 0..10_000 {
            shares.of(&identity(&n.to_string(), Proof::Jwt));
        }
        assert!(shares.0.lock().expect("no panic").by_name.len() <= 3 * held.len());
        assert!(Arc::ptr_eq(&held[7], &shares.of(&identity("held-7", Proof::Jwt))));
    }
}
