//! One type for each kind of id, so that none is taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id. Version 7: ids made after one another sort, and are stored, side by side.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads an id as clients send it.
            ///
            /// # Errors
            /// Text that is no UUID.
            pub fn parse(raw: &str) -> Result<Self, &'static str> {
                Uuid::try_parse(raw).map(Self).map_err(|_| "must be a UUID")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A place that can be booked.
    VenueId
);
id!(
    /// A booking.
    BookingId
);
id!(
    /// Somebody who books.
    CustomerId
);
id!(
    /// Something that happened to a booking.
    EventId
);
id!(
    /// A movement of money.
    PaymentId
);
id!(
    /// Somebody's place in the queue for a slot.
    WaitlistEntryId
);
