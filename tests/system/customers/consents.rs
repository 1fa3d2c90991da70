//! SetConsent: the consents of a customer, and their history.

use futures::future::join_all;
use teppan_shared::contract::{
    booking::v1::{
        Consent, ConsentChannel, ConsentPurpose, ExportCustomerRequest, SetConsentRequest, SetConsentResponse,
    },
    conversation::v1::Channel,
};
use teppan_tests::{clients::BookingClients, harness};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{
    book_by, contact, contact_of,
    erasure::{cancel, erase},
    export::pages,
    read_customer, reason, service_with_venue,
};

pub fn consent(
    customer_id: &str,
    purpose: ConsentPurpose,
    channel: ConsentChannel,
    granted: bool,
) -> SetConsentRequest {
    SetConsentRequest {
        customer_id: customer_id.to_owned(),
        purpose: purpose.into(),
        channel: channel.into(),
        granted,
        source: "chat".to_owned(),
        etag: String::new(),
    }
}

pub async fn set(clients: &BookingClients, request: SetConsentRequest) -> Result<SetConsentResponse, Status> {
    Ok(clients.clone().customers.set_consent(request).await?.into_inner())
}

/// What is recorded: the purpose, the channel, and whether it is granted.
pub fn recorded(consents: &[Consent]) -> Vec<(ConsentPurpose, ConsentChannel, bool)> {
    consents.iter().map(|it| (it.purpose(), it.channel(), it.granted)).collect()
}

use ConsentChannel::{Email, Sms, Unspecified as Every};
use ConsentPurpose::{Analytics, Marketing, Transactional};

#[tokio::test(flavor = "multi_thread")]
async fn each_purpose_and_channel_has_a_consent_and_one_for_every_channel_replaces_the_others() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let given = contact("Ada", "ada@example.org", "+4915123456789");
    let id = book_by(clients, &venue, given.clone()).await.customer_id;
    assert_eq!(read_customer(clients, &id).await.expect("read").consents, []);

    for (purpose, channel, granted) in
        [(Marketing, Every, true), (Marketing, Sms, false), (Marketing, Email, true), (Transactional, Sms, false)]
    {
        set(clients, consent(&id, purpose, channel, granted)).await.expect("recorded");
    }
    let customer = read_customer(clients, &id).await.expect("read");
    assert_eq!(
        recorded(&customer.consents),
        [(Marketing, Every, true), (Marketing, Email, true), (Marketing, Sms, false), (Transactional, Sms, false)]
    );
    assert!(customer.consents.iter().all(|it| it.source == "chat" && it.changed_at.is_some()));
    assert_eq!(customer.contact, Some(given.clone()), "the contact opens at its new version");

    // The customer withdraws everywhere: no older consent of one channel is left.
    let answer = set(clients, consent(&id, Marketing, Every, false)).await.expect("recorded");
    assert_eq!(recorded(&answer.consents), [(Marketing, Every, false), (Transactional, Sms, false)]);
    let customer = read_customer(clients, &id).await.expect("read");
    assert_eq!((customer.consents, &customer.etag), (answer.consents, &answer.etag));
    assert_eq!(book_by(clients, &venue, given).await.customer_id, id, "the hashes have not changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_is_already_recorded_changes_nothing_and_a_change_has_one_event() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let id = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let before = read_customer(clients, &id).await.expect("read");
    let request = SetConsentRequest { etag: before.etag, ..consent(&id, Marketing, Email, true) };
    let first = set(clients, request.clone()).await.expect("recorded");
    let written = service.written().await;
    // The same call again, although the etag is outdated; and with another source.
    assert_eq!(set(clients, request.clone()).await.expect("unchanged"), first);
    let from_elsewhere = SetConsentRequest { source: "e-mail".to_owned(), ..request.clone() };
    assert_eq!(set(clients, from_elsewhere).await.expect("unchanged"), first);
    assert_eq!(service.written().await, written);
    let stale = set(clients, SetConsentRequest { granted: false, ..request }).await.expect_err("the etag is outdated");
    assert_eq!((stale.code(), reason(&stale)), (Code::Aborted, "ETAG_MISMATCH".to_owned()));
    assert_eq!(service.written().await, written);

    let event: String = service.scalar("SELECT string_agg(type || ' ' || data, ',') FROM customer_events").await;
    let event = event.strip_prefix("teppan.customer.consent_changed.v1 ").expect("one event");
    let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
    assert_eq!((&event["customer_id"], &event["customer_version"]), (&id.as_str().into(), &"2".into()));
    assert_eq!(event["purpose"], "CONSENT_PURPOSE_MARKETING");
    assert_eq!((&event["channel"], &event["granted"]), (&"CONSENT_CHANNEL_EMAIL".into(), &true.into()));
    assert!(event.get("source").is_none(), "an event has no text of a caller");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_consent_is_reported_at_once() {
    let (service, _) = service_with_venue().await;
    let request = SetConsentRequest {
        customer_id: "7".to_owned(),
        purpose: 0,
        channel: 99,
        source: "\u{200b}".to_owned(),
        ..Default::default()
    };
    let refused = set(&service.clients, request).await.expect_err("refused");
    let violations = refused.get_details_bad_request().expect("a BadRequest").field_violations;
    let fields: Vec<_> = violations.into_iter().map(|it| it.field).collect();
    assert_eq!(fields, ["customer_id", "purpose", "channel", "source"]);
    let nobody = consent(&Uuid::nil().to_string(), Marketing, Every, true);
    assert_eq!(reason(&set(&service.clients, nobody).await.expect_err("nobody")), "CUSTOMER_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_each_record_their_consent_once() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let id = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    // Five callers for each of three states.
    let states = [(Marketing, Email, true), (Marketing, Sms, false), (Analytics, Every, false)];
    let calls = states.iter().cycle().take(15).map(|(purpose, channel, granted)| {
        let request = consent(&id, *purpose, *channel, *granted);
        async move { set(clients, request).await.expect("recorded") }
    });
    join_all(calls).await;
    let customer = read_customer(clients, &id).await.expect("read");
    assert_eq!(
        recorded(&customer.consents),
        [(Analytics, Every, false), (Marketing, Email, true), (Marketing, Sms, false)]
    );
    for versions in [
        "SELECT array_agg(version ORDER BY version) FROM customer_consent_changes",
        "SELECT array_agg(version ORDER BY version) FROM customer_events",
    ] {
        assert_eq!(service.scalar::<Vec<i64>>(versions).await, [2, 3, 4], "{versions}");
    }
    assert_eq!(contact_of(clients, &id).await.email, "ada@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_withdrawals_and_grants_leave_the_state_of_the_last_change() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let id = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let calls = (0..16).map(|number| {
        let request = consent(&id, Marketing, if number % 3 == 0 { Every } else { Email }, number % 2 == 0);
        async move { set(clients, request).await.map(drop) }
    });
    let answers = join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    // The history, applied in order, gives what is recorded.
    let mut expected: Vec<(ConsentPurpose, ConsentChannel, bool)> = Vec::new();
    for page in pages(clients, &id, 5).await {
        assert!(page.consent_changes.len() <= 5);
        for change in page.consent_changes {
            expected.retain(|(_, channel, _)| change.channel() != Every && *channel != change.channel());
            expected.push((change.purpose(), change.channel(), change.granted));
        }
    }
    expected.sort_by_key(|(_, channel, _)| *channel as i32);
    assert_eq!(recorded(&read_customer(clients, &id).await.expect("read").consents), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_consents_is_exported_page_by_page_and_only_appended_to() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let id = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    for number in 0..7 {
        set(clients, consent(&id, Marketing, Every, number % 2 == 0)).await.expect("recorded");
    }
    let pages = pages(clients, &id, 3).await;
    let changes: Vec<_> = pages.iter().flat_map(|page| page.consent_changes.clone()).collect();
    assert_eq!(changes.iter().map(|it| it.granted).collect::<Vec<_>>(), [true, false, true, false, true, false, true]);
    assert!(changes.iter().all(|it| it.purpose() == Marketing && it.source == "chat" && it.changed_at.is_some()));
    assert!(changes.is_sorted_by_key(|it| it.changed_at.map(|at| (at.seconds, at.nanos))));
    assert!(pages.iter().all(|page| recorded(&page.customer.as_ref().expect("it").consents).len() == 1));
    assert!(pages.iter().filter(|page| !page.consent_changes.is_empty()).count() == 3);

    let mut connection = harness::connect(&service.url).await;
    for edit in [
        "UPDATE customer_consent_changes SET granted = NOT granted",
        "UPDATE customer_consent_changes SET source = 'letter'",
        "UPDATE customer_consent_changes SET source = '', changed_by = 'me'",
        "DELETE FROM customer_consent_changes",
    ] {
        sqlx::query(edit).execute(&mut connection).await.expect_err(edit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_no_consent_is_left_and_the_history_has_no_text_of_a_caller() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let booking = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await;
    let id = &booking.customer_id;
    set(clients, consent(id, Marketing, Every, true)).await.expect("recorded");
    set(clients, consent(id, Marketing, Sms, false)).await.expect("recorded");
    cancel(clients, &booking).await;
    erase(clients, id).await.expect("erased");

    assert_eq!(read_customer(clients, id).await.expect("read").consents, []);
    let refused = set(clients, consent(id, Marketing, Every, true)).await.expect_err("erased");
    assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "CUSTOMER_ERASED".to_owned()));
    let request = ExportCustomerRequest { customer_id: id.clone(), ..Default::default() };
    clients.clone().customers.export_customer(request).await.expect("a page");
    let changes: Vec<_> = pages(clients, id, 50).await.into_iter().flat_map(|page| page.consent_changes).collect();
    assert_eq!(changes.iter().map(|it| (it.channel(), it.granted)).collect::<Vec<_>>(), [(Every, true), (Sms, false)]);
    assert!(changes.iter().all(|it| it.source.is_empty() && it.changed_at.is_some()));
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM customer_consents").await, 0);
}

#[test]
fn the_channels_of_consents_are_those_of_conversations() {
    let numbers = |of: fn(i32) -> Option<String>| (0..100).map_while(of).collect::<Vec<_>>();
    let consents = numbers(|raw| {
        Some(ConsentChannel::try_from(raw).ok()?.as_str_name().trim_start_matches("CONSENT_").to_owned())
    });
    assert_eq!(consents, numbers(|raw| Some(Channel::try_from(raw).ok()?.as_str_name().to_owned())));
}
