//! Readers of the event stream.

use std::time::Duration;

use teppan_shared::contract::booking::v1::{BookingEvent, StreamBookingEventsRequest, StreamBookingEventsResponse};
use teppan_tests::clients::BookingClients;
use tonic::{Status, Streaming};

/// Time limit of one step. Events wait for the oldest transaction in the cluster, which may belong to another test.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

pub fn from_the_oldest() -> StreamBookingEventsRequest {
    StreamBookingEventsRequest::default()
}

pub fn after(cursor: &str) -> StreamBookingEventsRequest {
    StreamBookingEventsRequest { after: cursor.to_owned(), ..Default::default() }
}

pub fn following(request: StreamBookingEventsRequest) -> StreamBookingEventsRequest {
    StreamBookingEventsRequest { follow: true, ..request }
}

/// A reader of a stream with `follow`.
pub struct Reader {
    steps: Streaming<StreamBookingEventsResponse>,
    /// The cursor of the last step.
    pub cursor: String,
}

impl Reader {
    pub async fn open(clients: &BookingClients, request: StreamBookingEventsRequest) -> Result<Self, Status> {
        let cursor = request.after.clone();
        let steps = clients.clone().bookings.stream_booking_events(following(request)).await?.into_inner();
        Ok(Self { steps, cursor })
    }

    /// The next step, with or without an event.
    pub async fn step(&mut self) -> Result<Option<BookingEvent>, Status> {
        let step = tokio::time::timeout(STEP_TIMEOUT, self.steps.message()).await.expect("a step in time");
        let step = step?.expect("a stream that follows does not end");
        self.cursor = step.cursor;
        Ok(step.event)
    }

    /// The next event.
    pub async fn event(&mut self) -> BookingEvent {
        loop {
            if let Some(event) = self.step().await.expect("a step") {
                return event;
            }
        }
    }

    pub async fn events(&mut self, count: usize) -> Vec<BookingEvent> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }

    /// Whether no event comes within 400 ms.
    pub async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(400), self.event()).await.is_err()
    }
}

/// All steps of a stream that ends. The last one has a cursor and no event.
pub async fn steps(
    clients: &BookingClients,
    request: StreamBookingEventsRequest,
) -> Result<Vec<StreamBookingEventsResponse>, Status> {
    let mut stream = clients.clone().bookings.stream_booking_events(request).await?.into_inner();
    let mut steps = Vec::new();
    let reading = async {
        while let Some(step) = stream.message().await? {
            steps.push(step);
        }
        Ok::<_, Status>(())
    };
    tokio::time::timeout(STEP_TIMEOUT, reading).await.expect("the stream ends")?;
    assert!(steps.last().is_some_and(|last| last.event.is_none() && !last.cursor.is_empty()), "{steps:?}");
    Ok(steps)
}

/// All events of a stream that ends.
pub async fn events(clients: &BookingClients, request: StreamBookingEventsRequest) -> Vec<BookingEvent> {
    steps(clients, request).await.expect("a stream").into_iter().filter_map(|step| step.event).collect()
}

pub fn ids(events: &[BookingEvent]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}
