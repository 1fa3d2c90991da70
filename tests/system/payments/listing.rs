use teppan_shared::contract::booking::v1::{
    ListPaymentsRequest, ListPaymentsResponse, Payment, PaymentKind, PaymentStatus,
};
use tonic::{Code, Status};

use super::{StripeFixture, cash, cash_back, deposit};

async fn list(fixture: &StripeFixture, request: ListPaymentsRequest) -> Result<ListPaymentsResponse, Status> {
    Ok(fixture.service.clients.clone().payments.list_payments(request).await?.into_inner())
}

/// All pages, with a page size of two.
async fn all(fixture: &StripeFixture, request: &ListPaymentsRequest) -> Vec<Payment> {
    let (mut payments, mut page_token) = (Vec::new(), String::new());
    loop {
        let page =
            list(fixture, ListPaymentsRequest { page_size: 2, page_token, ..request.clone() }).await.expect("a page");
        assert!(page.payments.len() <= 2);
        payments.extend(page.payments);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return payments;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_listed_in_the_order_of_recording_and_by_filters() {
    let fixture = StripeFixture::with_seats(20).await;
    let (one, other) = (fixture.pending_party_of_four().await, fixture.pending_party_of_four().await);
    fixture.send_and_wait(&deposit(&one).failed()).await;
    for amount in 1..=3 {
        fixture.record(cash(&one.booking_id, amount)).await.expect("recorded");
        fixture.record(cash(&other.booking_id, amount * 10)).await.expect("recorded");
    }
    fixture.record(cash_back(&one.booking_id, 2)).await.expect("recorded");
    let amounts = |payments: Vec<Payment>| payments.iter().map(|it| it.amount_cents).collect::<Vec<_>>();
    let any = ListPaymentsRequest::default();
    assert_eq!(amounts(all(&fixture, &any).await), [3500, 1, 10, 2, 20, 3, 30, 2]);
    let of_one = ListPaymentsRequest { booking_id: one.booking_id.clone(), ..any.clone() };
    assert_eq!(amounts(all(&fixture, &of_one).await), [3500, 1, 2, 3, 2]);
    let back = ListPaymentsRequest { kind: PaymentKind::Refund.into(), ..any.clone() };
    assert_eq!(amounts(all(&fixture, &back).await), [2]);
    let failed = ListPaymentsRequest {
        statuses: vec![PaymentStatus::Failed.into(), PaymentStatus::Disputed.into()],
        ..of_one.clone()
    };
    assert_eq!(amounts(all(&fixture, &failed).await), [3500]);

    let page = list(&fixture, ListPaymentsRequest { page_size: 2, ..any.clone() }).await.expect("a page");
    let foreign = ListPaymentsRequest { page_token: page.next_page_token, ..of_one };
    assert_eq!(list(&fixture, foreign).await.expect_err("other filters").code(), Code::InvalidArgument);
    let wrong = ListPaymentsRequest {
        page_size: -1,
        booking_id: "7".to_owned(),
        kind: 7,
        statuses: vec![0],
        page_token: "x".to_owned(),
    };
    let refused = list(&fixture, wrong).await.expect_err("every field is wrong");
    for field in ["page_size", "page_token", "booking_id", "kind", "statuses[0]"] {
        assert!(refused.message().contains(field), "{field}: {}", refused.message());
    }
}
