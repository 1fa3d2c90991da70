//! `booking-service export-customer`: everything that both services store about a customer, as JSON.

mod conversations;
mod json_stream;

use std::{collections::BTreeSet, io, process::ExitCode};

use chrono::Utc;
use clap::Args;
use teppan_shared::{
    contract::{booking::v1::ExportCustomerRequest, json::to_json},
    error_chain::error_chain,
    postgres::DatabaseError,
    service::{self, StartError},
};
use tonic::Status;
use uuid::Uuid;

use self::{conversations::Conversations, json_stream::JsonStream};
use crate::{
    app::{DEFINITION, build_modules},
    customers::export::{CustomerExports, ExportCursor, ExportError, ExportPosition},
    domain::CustomerId,
    grpc::export_customer,
    outbox,
    settings::Settings,
};

/// Bookings, waitlist entries or changes of consents of one page.
const PAGE_SIZE: u16 = 100;

/// The customer to export.
#[derive(Debug, Args)]
pub struct ExportCustomerCommand {
    /// The customer
    #[arg(long, value_name = "UUID")]
    customer: Uuid,
}

/// Why the export is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum ExportFailed {
    #[error("the export cannot be written")]
    Written(#[from] io::Error),
    #[error("the customer cannot be read")]
    Read(#[from] ExportError),
    #[error("{0} parts are missing; they are named above")]
    Unreadable(usize),
    #[error("the conversations cannot be listed")]
    Database(#[from] DatabaseError),
    #[error("conversation-service cannot be reached")]
    Settings(#[from] StartError),
    #[error("conversation-service answered {}", .0.code())]
    Conversations(#[source] Status),
}

impl ExportCustomerCommand {
    /// Writes the export to stdout, and returns the exit code of the process. The output is complete only if the exit code
    /// is 0.
    pub async fn run(self, settings: &Settings) -> ExitCode {
        service::on_database(&DEFINITION, &settings.common, async |open| {
            let outbox = outbox::open(open.database.clone(), settings);
            let (grpc, _) = build_modules(open, settings, &outbox, None);
            let conversations = Conversations::connect(&settings.outbox)?;
            let mut out = JsonStream::new(io::BufWriter::new(io::stdout()));
            export(&grpc.exports, &conversations, CustomerId(self.customer), &mut out).await
        })
        .await
    }
}

async fn export(
    exports: &CustomerExports,
    conversations: &Conversations,
    id: CustomerId,
    out: &mut JsonStream<impl io::Write>,
) -> Result<(), ExportFailed> {
    let request = ExportCustomerRequest { customer_id: id.to_string(), ..Default::default() };
    let (mut after, mut bookings, mut entries, mut changes) = (None, 0, 0, 0);
    let (mut has_begun, mut unreadable) = (false, Vec::new());
    loop {
        let page = match exports.export_page(id, after, PAGE_SIZE).await {
            Ok(page) => page,
            Err(ExportError::Unreadable { position, booking_count, source }) => {
                unreadable.push(format!("booking {} cannot be read: {}", position.2, error_chain(&source)));
                after = Some(ExportCursor { position: ExportPosition::Booking(position), booking_count });
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let next = page.next;
        let page = export_customer::encode(&request, page, Utc::now());
        if !has_begun {
            has_begun = true;
            out.begin()?;
            let customer = page.customer.unwrap_or_default();
            out.field("customer", &to_json("teppan.booking.v1.Customer", &customer))?;
            out.begin_list("bookings")?;
        }
        for booking in &page.bookings {
            out.item(&to_json("teppan.booking.v1.ExportedBooking", booking))?;
            bookings += 1;
        }
        if !page.waitlist_entries.is_empty() && entries == 0 {
            out.end_list()?;
            out.begin_list("waitlist_entries")?;
        }
        for entry in &page.waitlist_entries {
            out.item(&to_json("teppan.booking.v1.WaitlistEntry", entry))?;
            entries += 1;
        }
        if !page.consent_changes.is_empty() && changes == 0 {
            out.end_list()?;
            out.begin_list("consent_changes")?;
        }
        for change in &page.consent_changes {
            out.item(&to_json("teppan.booking.v1.ConsentChange", change))?;
            changes += 1;
        }
        eprintln!("{bookings} bookings, {entries} waitlist entries");
        match next {
            Some(_) => after = next,
            None => break,
        }
    }
    out.end_list()?;
    export_conversations(exports, conversations, id, out, &mut unreadable).await?;
    out.end()?;
    for part in &unreadable {
        eprintln!("{part}");
    }
    if unreadable.is_empty() { Ok(()) } else { Err(ExportFailed::Unreadable(unreadable.len())) }
}

/// Writes the conversations that no other customer names, and the memories of their users.
async fn export_conversations(
    exports: &CustomerExports,
    conversations: &Conversations,
    id: CustomerId,
    out: &mut JsonStream<impl io::Write>,
    unreadable: &mut Vec<String>,
) -> Result<(), ExportFailed> {
    let named = exports.customers.conversations_of(id).await?;
    let (own, shared): (Vec<_>, Vec<_>) = named.into_iter().partition(|it| it.is_own);
    let mut users = BTreeSet::new();
    out.begin_list("conversations")?;
    for (number, conversation) in own.iter().enumerate() {
        users.extend(conversations.export(&conversation.conversation_id, out, unreadable).await?);
        eprintln!("{} of {} conversations", number + 1, own.len());
    }
    out.end_list()?;
    out.begin_list("memories")?;
    for user_id in users {
        conversations.export_memories(&user_id, out, unreadable).await?;
    }
    out.end_list()?;
    // Another customer names them too, so they may contain that customer's messages.
    out.begin_list("conversations_shared_with_others")?;
    for conversation in shared {
        out.item(&conversation.conversation_id.into())?;
    }
    Ok(out.end_list()?)
}
