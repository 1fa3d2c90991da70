//! Customers and their contact data.

pub mod find;
pub mod sealed_contact;
