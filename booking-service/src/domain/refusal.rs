/// Why a party cannot book a slot, as the database's function `slot_refusal` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotRefusal {
    SlotNotFound,
    SlotClosed,
    SlotFull,
    InsufficientNotice,
    TooFarAhead,
    PartyTooSmall,
    PartyTooLarge,
}

impl SlotRefusal {
    /// Reads what the function says; `None` for what it never does.
    pub fn from_column(raw: &str) -> Option<Self> {
        Some(match raw {
            "SLOT_NOT_FOUND" => Self::SlotNotFound,
            "SLOT_CLOSED" => Self::SlotClosed,
            "SLOT_FULL" => Self::SlotFull,
            "INSUFFICIENT_NOTICE" => Self::InsufficientNotice,
            "TOO_FAR_AHEAD" => Self::TooFarAhead,
            "PARTY_TOO_SMALL" => Self::PartyTooSmall,
            "PARTY_TOO_LARGE" => Self::PartyTooLarge,
            _ => return None,
        })
    }
}
