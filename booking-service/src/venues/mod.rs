//! Venues and their policies.

pub mod create;
pub mod get;
pub mod list;
pub mod phone_regions;
pub mod policy;
pub mod update;
