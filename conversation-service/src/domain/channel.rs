/// The way by which a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Web,
    Email,
    Sms,
    Voice,
    Whatsapp,
    Facebook,
    Instagram,
}

impl Channel {
    pub const ALL: [Self; 7] =
        [Self::Web, Self::Email, Self::Sms, Self::Voice, Self::Whatsapp, Self::Facebook, Self::Instagram];

    /// What the database keeps.
    pub fn as_column(self) -> &'static str {
        match self {
            Self::Web => "WEB",
            Self::Email => "EMAIL",
            Self::Sms => "SMS",
            Self::Voice => "VOICE",
            Self::Whatsapp => "WHATSAPP",
            Self::Facebook => "FACEBOOK",
            Self::Instagram => "INSTAGRAM",
        }
    }

    /// Reads what the database keeps; `None` for what its constraint forbids.
    pub fn from_column(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_column() == raw)
    }
}
