//! The access rules: every method of the contract with the roles that may call it. A method that is not in the table is
//! refused.

use std::fmt;

use strum::VariantArray as _;

/// A role of a caller.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::EnumString, strum::VariantArray,
)]
#[strum(serialize_all = "lowercase", const_into_str, parse_err_ty = UnknownRole, parse_err_fn = unknown_role)]
pub enum Role {
    /// Assistants: messages, bookings, availability, the waitlist.
    Orchestrator,
    /// Senders of follow-ups.
    Sender,
    /// The systems of venues: schedules, slots, attendance, payments.
    Venue,
    /// Operators: outbox, event stream, dead letters, reflection.
    Operator,
    /// Handlers of requests about personal data: find, export, erase.
    Privacy,
}

/// No role has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be orchestrator, sender, venue, operator or privacy")]
pub struct UnknownRole;

fn unknown_role(_: &str) -> UnknownRole {
    UnknownRole
}

/// A set of roles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    pub const NONE: Self = Self(0);

    const fn of(roles: &[Role]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < roles.len() {
            set |= 1 << roles[index] as u8;
            index += 1;
        }
        Self(set)
    }

    pub fn share_one(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::VARIANTS.iter().copied().filter(move |role| self.0 & 1 << *role as u8 != 0)
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |set, role| set | 1 << role as u8))
    }
}

/// The names, separated by commas.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, role) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}", role.into_str())?;
        }
        Ok(())
    }
}

/// The callers that may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All callers, without credentials: probes.
    Anonymous,
    /// Callers with one of these roles.
    Roles(Roles),
}

/// Whether calls of a method are written to the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audited {
    /// It changes something.
    Change,
    /// It reads personal data.
    PersonalData,
    /// Neither.
    No,
}

/// The rule for a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub access: Access,
    pub audited: Audited,
}

/// The rule for a method that is not in the table: no caller may call it.
const DENIED: Rule = Rule { access: Access::Roles(Roles::NONE), audited: Audited::No };

/// The rule of a method, by its full name, such as `teppan.booking.v1.BookingService/CreateBooking`.
pub fn rule(method: &str) -> Rule {
    let Some((service, name)) = method.split_once('/') else { return DENIED };
    let services = TABLE.iter().filter(|(listed, _)| *listed == service);
    let mut rules = services.flat_map(|(_, methods)| methods.iter());
    rules
        .find(|(listed, ..)| *listed == name)
        .map_or(DENIED, |(_, access, audited)| Rule { access: *access, audited: *audited })
}

const fn only(role: Role) -> Access {
    Access::Roles(Roles::of(&[role]))
}

const fn any_of(roles: &[Role]) -> Access {
    Access::Roles(Roles::of(roles))
}

type Methods = &'static [(&'static str, Access, Audited)];

/// The access rules. The comments in the .proto files repeat them.
const TABLE: &[(&str, Methods)] = {
    use Access::Anonymous;
    use Audited::{Change, No, PersonalData};
    use Role::{Operator, Orchestrator, Privacy, Sender, Venue};
    const OUTBOX: Methods = &[
        ("GetOutboxStatus", only(Operator), No),
        ("ListDeadLetters", only(Operator), No),
        ("RetryDeadLetters", only(Operator), Change),
        ("DiscardDeadLetters", only(Operator), Change),
    ];
    const REFLECTION: Methods = &[("ServerReflectionInfo", only(Operator), No)];
    &[
        (
            "teppan.conversation.v1.ConversationService",
            &[
                ("StoreMessage", only(Orchestrator), Change),
                ("StoreMessages", only(Orchestrator), Change),
                ("RedactMessage", any_of(&[Orchestrator, Privacy]), Change),
                ("SetSummary", only(Orchestrator), Change),
                // An export of a person's data needs to find and read conversations.
                ("GetConversation", any_of(&[Orchestrator, Privacy]), PersonalData),
                ("ListConversations", any_of(&[Orchestrator, Privacy]), PersonalData),
                ("ListMessages", any_of(&[Orchestrator, Privacy]), PersonalData),
                ("SearchMessages", any_of(&[Orchestrator, Privacy]), PersonalData),
                ("StreamMessages", any_of(&[Orchestrator, Privacy]), PersonalData),
                ("GetContextWindow", only(Orchestrator), PersonalData),
                ("GetEmotionHistory", any_of(&[Orchestrator, Privacy]), PersonalData),
                ("CloseConversation", only(Orchestrator), Change),
                ("EscalateConversation", only(Orchestrator), Change),
                ("AssignConversation", only(Orchestrator), Change),
                ("SetMemory", only(Orchestrator), Change),
                ("ListMemories", any_of(&[Orchestrator, Privacy]), PersonalData),
                ("DeleteMemory", any_of(&[Orchestrator, Privacy]), Change),
                // Irreversible and far-reaching, so a customer must not be able to persuade an assistant to do it.
                ("DeleteUser", only(Privacy), Change),
                // booking-service, too, deletes the conversations of a customer who is erased, with the role of assistants.
                ("DeleteConversation", any_of(&[Orchestrator, Privacy]), Change),
            ],
        ),
        (
            "teppan.conversation.v1.FollowUpService",
            &[
                // booking-service, too, schedules and cancels follow-ups, with the role of assistants.
                ("ScheduleFollowUp", only(Orchestrator), Change),
                ("ListFollowUps", any_of(&[Orchestrator, Sender]), PersonalData),
                ("CancelFollowUp", only(Orchestrator), Change),
                ("ClaimDueFollowUps", only(Sender), Change),
                ("CompleteFollowUp", only(Sender), Change),
                ("FailFollowUp", only(Sender), Change),
                // booking-service delivers consents, and the erasure of a customer, with the role of assistants.
                ("RecordConsent", only(Orchestrator), Change),
                ("DeleteCustomer", any_of(&[Orchestrator, Privacy]), Change),
            ],
        ),
        ("teppan.conversation.v1.OutboxService", OUTBOX),
        (
            "teppan.booking.v1.BookingService",
            &[
                // Venues enter walk-ins and bookings by telephone.
                ("CreateBooking", any_of(&[Orchestrator, Venue]), Change),
                ("QuoteBooking", any_of(&[Orchestrator, Venue]), No),
                ("GetBooking", any_of(&[Orchestrator, Venue]), PersonalData),
                ("ListBookings", any_of(&[Orchestrator, Venue]), PersonalData),
                ("ConfirmBooking", only(Orchestrator), Change),
                // Customers (through assistants) and venues can cancel a booking.
                ("CancelBooking", any_of(&[Orchestrator, Venue]), Change),
                ("RescheduleBooking", only(Orchestrator), Change),
                ("CompleteBooking", only(Venue), Change),
                ("MarkNoShow", only(Venue), Change),
                ("UpdateBooking", any_of(&[Orchestrator, Venue]), Change),
                ("ReinstateBooking", only(Venue), Change),
                ("AssignTables", only(Venue), Change),
                ("SeatBooking", only(Venue), Change),
                ("ListFloor", any_of(&[Orchestrator, Venue]), PersonalData),
                ("JoinWaitlist", only(Orchestrator), Change),
                ("LeaveWaitlist", only(Orchestrator), Change),
                ("ListWaitlist", any_of(&[Orchestrator, Venue]), PersonalData),
                ("SuggestSlots", any_of(&[Orchestrator, Venue]), No),
                // Events contain ids and numbers, but no personal data.
                ("StreamBookingEvents", only(Operator), No),
            ],
        ),
        (
            "teppan.booking.v1.ScheduleService",
            &[
                ("CreateVenue", only(Venue), Change),
                ("UpdateVenue", only(Venue), Change),
                ("GetVenue", any_of(&[Orchestrator, Venue]), No),
                ("ListVenues", any_of(&[Orchestrator, Venue]), No),
                ("SetWeeklySchedule", only(Venue), Change),
                ("SetSpecialDays", only(Venue), Change),
                ("ListSpecialDays", any_of(&[Orchestrator, Venue]), No),
                ("DeleteSpecialDays", only(Venue), Change),
                ("UpdateSlot", only(Venue), Change),
                ("SetFloor", only(Venue), Change),
                ("GetFloor", any_of(&[Orchestrator, Venue]), No),
                ("ListAvailability", any_of(&[Orchestrator, Venue]), No),
                ("BatchCheckAvailability", any_of(&[Orchestrator, Venue]), No),
            ],
        ),
        (
            "teppan.booking.v1.CustomerService",
            &[
                ("GetCustomer", only(Privacy), PersonalData),
                ("FindCustomer", only(Privacy), PersonalData),
                ("UpdateCustomer", only(Privacy), Change),
                ("MergeCustomers", only(Privacy), Change),
                // A customer gives consent in a conversation.
                ("SetConsent", any_of(&[Orchestrator, Privacy]), Change),
                ("ExportCustomer", only(Privacy), PersonalData),
                ("EraseCustomer", only(Privacy), Change),
            ],
        ),
        (
            "teppan.booking.v1.PaymentService",
            &[("RecordPayment", only(Venue), Change), ("ListPayments", only(Venue), No)],
        ),
        ("teppan.booking.v1.OutboxService", OUTBOX),
        ("grpc.health.v1.Health", &[("Check", Anonymous, No), ("Watch", Anonymous, No)]),
        ("grpc.reflection.v1.ServerReflection", REFLECTION),
        ("grpc.reflection.v1alpha.ServerReflection", REFLECTION),
    ]
};

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::contract;

    /// The full names of all methods that a server may have.
    fn methods() -> BTreeSet<String> {
        let mut methods = BTreeSet::new();
        for descriptors in [
            contract::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            for file in FileDescriptorSet::decode(descriptors).expect("descriptors").file {
                for service in &file.service {
                    let names = service
                        .method
                        .iter()
                        .map(|method| format!("{}.{}/{}", file.package(), service.name(), method.name()));
                    methods.extend(names);
                }
            }
        }
        methods
    }

    fn listed() -> BTreeSet<String> {
        let methods = TABLE.iter().flat_map(|(service, methods)| methods.iter().map(move |it| (service, it.0)));
        methods.map(|(service, method)| format!("{service}/{method}")).collect()
    }

    #[test]
    fn every_method_has_a_rule_and_every_rule_has_a_method() {
        assert_eq!(listed(), methods());
    }

    #[test]
    fn only_probes_need_no_role() {
        for method in methods() {
            let Rule { access, .. } = rule(&method);
            assert_eq!(access == Access::Anonymous, method.starts_with("grpc.health."), "{method}");
            assert_ne!(access, Access::Roles(Roles::NONE), "{method}");
        }
    }

    #[test]
    fn a_method_that_is_not_in_the_table_is_denied() {
        for method in ["", "_OTHER", "teppan.booking.v1.BookingService/Unheard", "made.up/CreateBooking"] {
            assert_eq!(rule(method), DENIED);
        }
    }

    /// A method is a change unless its name begins like a read.
    #[test]
    fn every_change_is_audited() {
        for method in methods().iter().filter(|method| method.starts_with("teppan.")) {
            let (_, name) = method.split_once('/').expect("a method");
            let is_read = ["Get", "List", "Find", "Export", "Stream", "Search", "Suggest", "Quote", "BatchCheck"]
                .iter()
                .any(|it| name.starts_with(it));
            assert_eq!(rule(method).audited == Audited::Change, !is_read, "{method}");
        }
    }

    #[test]
    fn the_comment_of_each_rpc_names_the_roles_that_may_call_it() {
        for package in ["booking", "conversation"] {
            let folder = format!("{}/../proto/teppan/{package}/v1", env!("CARGO_MANIFEST_DIR"));
            for entry in fs::read_dir(folder).expect("the contract") {
                let text = fs::read_to_string(entry.expect("a file").path()).expect("a .proto file");
                let (mut service, mut comment) = (String::new(), String::new());
                for line in text.lines().map(str::trim) {
                    if let Some(rest) = line.strip_prefix("service ") {
                        service = format!("teppan.{package}.v1.{}", rest.trim_end_matches(" {"));
                    } else if let Some(rest) = line.strip_prefix("//") {
                        comment.push_str(rest);
                    } else if let Some(rest) = line.strip_prefix("rpc ") {
                        let (name, _) = rest.split_once('(').expect("an rpc");
                        let Access::Roles(roles) = rule(&format!("{service}/{name}")).access else { continue };
                        let label = if roles.iter().count() == 1 { "Role" } else { "Roles" };
                        let expected = format!(" {label}: {roles}.");
                        assert!(comment.contains(&expected), "the comment of {service}/{name} lacks{expected:?}");
                    } else {
                        comment.clear();
                    }
                }
            }
        }
    }
}
