use super::Duplicate;

/// Why a slot cannot be booked, with the figure that explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    VenueNotFound,
    SlotNotFound,
    SlotClosed,
    SlotFull {
        open_seats: i32,
    },
    /// The venue's floor has no such area.
    AreaNotFound,
    /// No area has the seats for the whole visit.
    AreaFull {
        open_seats: i32,
    },
    InsufficientNotice {
        notice_minutes: i32,
    },
    TooFarAhead {
        horizon_days: i32,
    },
    PartyTooSmall {
        min_party_size: i32,
    },
    PartyTooLarge {
        max_party_size: i32,
    },
    PriceChanged {
        total_cents: i64,
    },
    /// The customer has another booking at that time.
    Duplicate(Duplicate),
}

impl Refusal {
    /// The refusal without its figure; `None` if it is not about the slot.
    pub fn of_slot(self) -> Option<SlotRefusal> {
        Some(match self {
            Self::VenueNotFound | Self::AreaNotFound | Self::PriceChanged { .. } | Self::Duplicate(_) => {
                return None;
            }
            Self::SlotNotFound => SlotRefusal::SlotNotFound,
            Self::SlotClosed => SlotRefusal::SlotClosed,
            Self::SlotFull { .. } | Self::AreaFull { .. } => SlotRefusal::SlotFull,
            Self::InsufficientNotice { .. } => SlotRefusal::InsufficientNotice,
            Self::TooFarAhead { .. } => SlotRefusal::TooFarAhead,
            Self::PartyTooSmall { .. } => SlotRefusal::PartyTooSmall,
            Self::PartyTooLarge { .. } => SlotRefusal::PartyTooLarge,
        })
    }

    /// Whether the party could book another start of the same venue.
    pub fn has_alternatives(self) -> bool {
        matches!(
            self,
            Self::SlotFull { .. }
                | Self::AreaFull { .. }
                | Self::SlotClosed
                | Self::SlotNotFound
                | Self::InsufficientNotice { .. }
        )
    }

    /// Reads a refusal and its figure from a statement's row; `None` for a value that the statements never return.
    pub fn from_column(raw: &str, figure: Option<i64>) -> Option<Self> {
        match raw {
            "VENUE_NOT_FOUND" => Some(Self::VenueNotFound),
            "AREA_NOT_FOUND" => Some(Self::AreaNotFound),
            "AREA_FULL" => Some(Self::AreaFull { open_seats: i32::try_from(figure?).ok()? }),
            "PRICE_CHANGED" => Some(Self::PriceChanged { total_cents: figure? }),
            slot => {
                let figure = || figure.and_then(|it| i32::try_from(it).ok()).ok_or(());
                SlotRefusal::from_column(slot)?.with_figure(figure).ok()
            }
        }
    }
}

/// Why a party cannot book a slot: the results of the SQL function `slot_refusal`.
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
    /// Reads the function's result; `None` for a value that the function never returns.
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

    /// Adds the figure that explains the refusal, for those refusals that have one.
    pub fn with_figure<E>(self, figure: impl FnOnce() -> Result<i32, E>) -> Result<Refusal, E> {
        Ok(match self {
            Self::SlotNotFound => Refusal::SlotNotFound,
            Self::SlotClosed => Refusal::SlotClosed,
            Self::SlotFull => Refusal::SlotFull { open_seats: figure()? },
            Self::InsufficientNotice => Refusal::InsufficientNotice { notice_minutes: figure()? },
            Self::TooFarAhead => Refusal::TooFarAhead { horizon_days: figure()? },
            Self::PartyTooSmall => Refusal::PartyTooSmall { min_party_size: figure()? },
            Self::PartyTooLarge => Refusal::PartyTooLarge { max_party_size: figure()? },
        })
    }
}
