//! Calls that come together share a statement, and each has its own outcome.

mod bookings;
mod messages;

use std::time::Duration;

/// So far away is the database that calls that are sent together wait for the first statements.
const FAR: Duration = Duration::from_millis(40);
