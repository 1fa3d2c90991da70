/// The channel of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::AsRefStr, strum::EnumString, strum::VariantArray)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
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
    /// The column value of every channel, and the empty text for an unknown channel.
    pub fn columns() -> Vec<&'static str> {
        <Self as strum::VariantArray>::VARIANTS.iter().map(AsRef::as_ref).chain([""]).collect()
    }
}
