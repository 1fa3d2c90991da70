//! Tests that take minutes: `make test-slow` runs them.

mod failover;
mod version_before;
