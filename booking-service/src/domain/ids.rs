//! One type for each kind of id, so that ids cannot be confused.

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
            /// A new id of UUID version 7: ids are ordered by time, so new rows are stored next to each other.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads an id as clients send it.
            ///
            /// # Errors
            /// The text is not a UUID.
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
    /// The id of a venue.
    VenueId
);
id!(
    /// The id of a booking.
    BookingId
);
id!(
    /// The id of a customer.
    CustomerId
);
id!(
    /// The id of an event.
    EventId
);
id!(
    /// The id of a payment.
    PaymentId
);
id!(
    /// The id of special days, made by the client.
    SpecialDaysId
);
id!(
    /// The id of a waitlist entry.
    WaitlistEntryId
);
