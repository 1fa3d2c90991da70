//! Calls with more metadata or more messages than the service accepts.

use h2::client::ResponseFuture;
use teppan_shared::contract::booking::v1::GetBookingRequest;
use teppan_tests::{
    harness::Booking,
    raw_client::{RawClient, framed, status},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::kind;

const METHOD: &str = "/teppan.booking.v1.BookingService/GetBooking";

async fn answer(answer: ResponseFuture) -> Status {
    status(answer).await.expect("an answer")
}

/// Makes a call with this many bytes of metadata.
async fn call_with(client: &mut RawClient, bytes: usize) -> ResponseFuture {
    let long = "x".repeat(bytes);
    let (answer, mut body) = client.begin_with(METHOD, &[("x-long", &long)]).await.expect("begun");
    // The call may already be refused.
    let _ = body.send_data(framed(&GetBookingRequest::default()), true);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_too_much_metadata_is_refused_with_a_reason_and_other_calls_continue() {
    let booking = Booking::start().await.ready().await;
    let mut client = RawClient::connect(booking.service.server.grpc_addr).await.expect("connected");
    let (other, mut other_body) = client.begin(METHOD).await.expect("begun");
    for bytes in [20_000, 100_000, 120_000] {
        let refused = call_with(&mut client, bytes).await;
        let refused = answer(refused).await;
        assert_eq!(kind(&refused), (Code::ResourceExhausted, "METADATA_TOO_LARGE".to_owned()), "{bytes}");
        let info = refused.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.metadata.get("max_bytes").map(String::as_str), Some("16384"));
    }
    // The HTTP/2 library refuses metadata beyond its own limit with HTTP status 431 and without a gRPC status.
    let refused = call_with(&mut client, 140_000).await.await.expect("an answer");
    assert_eq!(refused.status(), 431);

    for bytes in [0, 10_000] {
        let accepted = call_with(&mut client, bytes).await;
        assert_eq!(kind(&answer(accepted).await), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()), "{bytes}");
    }
    other_body.send_data(framed(&GetBookingRequest::default()), true).expect("the other call is still open");
    assert_eq!(kind(&answer(other).await), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_message_in_a_unary_call_is_refused() {
    let booking = Booking::start().await.ready().await;
    let mut client = RawClient::connect(booking.service.server.grpc_addr).await.expect("connected");
    let message = framed(&GetBookingRequest { booking_id: "x".to_owned(), ..Default::default() });
    for second in [&message[..], &message[..3]] {
        let (answered, mut body) = client.begin(METHOD).await.expect("begun");
        body.send_data(message.clone(), false).expect("sent");
        let _ = body.send_data(second.to_vec().into(), true);
        assert_eq!(kind(&answer(answered).await), (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned()));
    }
}
