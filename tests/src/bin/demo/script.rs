//! The text of the guests and the assistant. `{when}`, `{code}` and `{deposit}` are replaced.

use teppan_shared::contract::conversation::v1::Channel;

/// A customer.
pub struct Guest {
    pub name: &'static str,
    pub email: &'static str,
    pub phone: &'static str,
}

/// The turns of a conversation, in order.
pub enum Turn {
    /// A message of the guest, with its emotion: a score from 0 to 1, and a label.
    Guest(f64, &'static str, &'static str),
    Assistant(&'static str),
    /// The assistant books. Code and deposit are known only after this turn.
    Book,
}

/// One conversation, and its booking.
pub struct Chat {
    pub id: &'static str,
    pub title: &'static str,
    pub channel: Channel,
    pub guest: Guest,
    pub turns: &'static [Turn],
    pub party_size: i32,
    pub start_time: &'static str,
    pub wish: &'static str,
    /// Whether the venue requires no deposit.
    pub is_canteen: bool,
}

use Turn::{Assistant, Book, Guest as Says};

pub const CHATS: [Chat; 3] = [
    Chat {
        id: "birthday",
        title: "Mina plans a birthday, on the web page",
        channel: Channel::Web,
        guest: Guest { name: "Mina Sato", email: "mina.sato@example.org", phone: "+4930123456" },
        turns: &[
            Says(0.82, "joy", "Hello! My sister turns thirty and I would love to take her out for teppanyaki."),
            Assistant("How lovely! For how many guests, and on which evening?"),
            Says(0.74, "joy", "Four of us, on {when}. She likes to watch the chef, so near the plate if you can."),
            Assistant("There are seats right at the plate at 18:00, 35.00 EUR a person. Shall I book them?"),
            Says(0.9, "excitement", "Yes please, that is perfect!"),
            Book,
            Assistant("Done: your code is {code}. A deposit of {deposit} makes it firm. Enjoy the evening!"),
        ],
        party_size: 4,
        start_time: "18:00",
        wish: "Seats at the plate; it is a birthday.",
        is_canteen: false,
    },
    Chat {
        id: "mix-up",
        title: "Jonas is annoyed at first, on WhatsApp",
        channel: Channel::Whatsapp,
        guest: Guest { name: "Jonas Weber", email: "jonas.weber@example.org", phone: "+4940123456" },
        turns: &[
            Says(0.18, "anger", "Last time you had no idea that I had reserved. Not a good start for a dinner."),
            Assistant(
                "I am sorry, that should not have happened. Let me make sure of it this time: when and how many?",
            ),
            Says(0.35, "doubt", "Two people, {when}, early. 17:30. And I want something in writing."),
            Assistant("17:30 is free, and you will have a code at once. Shall I go ahead?"),
            Says(0.55, "calm", "Fine, go ahead."),
            Book,
            Assistant("Here it is in writing: {code}, two guests at 17:30. The deposit is {deposit}."),
            Says(0.78, "relief", "Quick, thank you. See you then."),
        ],
        party_size: 2,
        start_time: "17:30",
        wish: "",
        is_canteen: false,
    },
    Chat {
        id: "team-lunch",
        title: "Amara orders a lunch for the team, by phone",
        channel: Channel::Voice,
        guest: Guest { name: "Amara Okafor", email: "amara.okafor@example.org", phone: "+4989123456" },
        turns: &[
            Says(0.6, "calm", "Good morning, I need a table for a team lunch, ten people."),
            Assistant("Good morning! Ten is no problem. Would {when} at 12:30 suit you?"),
            Says(0.66, "calm", "It would. Two of us do not eat fish, and one is in a wheelchair."),
            Book,
            Assistant("Noted. Ten guests at 12:30, confirmed, code {code}. No deposit is needed."),
        ],
        party_size: 10,
        start_time: "12:30",
        wish: "Two without fish; step-free access for a wheelchair.",
        is_canteen: true,
    },
];
