mod cursor;
mod live;
mod page;

use std::{
    sync::Arc,
    time::{Duration, Instant},
    vec,
};

use futures::stream::{self, Stream};
use teppan_shared::{postgres::DatabaseError, read_error::ReadError};
use tokio::sync::watch;

pub use self::{
    cursor::Cursor,
    live::{EventStreamSettings, LiveStreams, OpenStream},
};
use self::{
    cursor::Place,
    live::LOOK_INTERVAL,
    page::{Opened, Page},
};
use crate::{
    domain::{BookingId, VenueId},
    event_stream::BookingEvents,
    event_stream::event::BookingEvent,
};

/// Which stream is asked for.
#[derive(Debug)]
pub struct StreamRequest {
    pub begin: Begin,
    /// Stay and stream what happens, or end at the newest event of now.
    pub follow: bool,
    pub filter: EventFilter,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
pub enum Begin {
    Oldest,
    Newest,
    After(Cursor),
}

/// Only events that match every filter given.
#[derive(Debug)]
pub struct EventFilter {
    pub venue_id: Option<VenueId>,
    pub booking_id: Option<BookingId>,
    /// Empty: any.
    pub types: Vec<String>,
}

/// An event, or only the cursor moved.
#[derive(Debug)]
pub struct Step {
    pub event: Option<BookingEvent>,
    pub cursor: Cursor,
}

/// Why a stream does not begin, or ends.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the cursor is of another stream")]
    ForeignCursor,
    #[error("events stand behind transactions to come: the database was restored without restart_event_stream()")]
    Displaced,
    #[error("the events cannot be read")]
    Read(#[from] ReadError),
}

impl From<DatabaseError> for StreamError {
    fn from(error: DatabaseError) -> Self {
        Self::Read(error.into())
    }
}

impl BookingEvents {
    /// Streams events in the order of their commits, so that no event is ever missed; see
    /// `migrations/0005_events.sql`.
    ///
    /// Nothing happens before the next step is asked for: a slow reader holds one page, and one that
    /// is gone nothing.
    ///
    /// # Errors
    /// [`StreamError`], instead of the stream or as its end.
    pub async fn stream_booking_events(
        self: Arc<Self>,
        request: StreamRequest,
    ) -> Result<impl Stream<Item = Result<Step, StreamError>> + Send + 'static, StreamError> {
        let open = self.live.open();
        let opened = self.open_event_stream().await?;
        if opened.is_displaced {
            return Err(StreamError::Displaced);
        }
        let reader = Reader {
            place: first_place(request.begin, &opened)?,
            ends_at: (!request.follow).then_some(opened.committed_below),
            opened,
            filter: request.filter,
            nudges: self.live.nudges(),
            open,
            events: self,
            found: Vec::new().into_iter(),
            state: State::Reading,
            is_live: false,
            silent_since: Instant::now(),
            patience: LOOK_INTERVAL,
        };
        Ok(stream::try_unfold(reader, async |mut reader| Ok(reader.next().await?.map(|step| (step, reader)))))
    }
}

fn first_place(begin: Begin, opened: &Opened) -> Result<Place, StreamError> {
    match begin {
        Begin::Oldest => Ok(Place::START),
        Begin::Newest => Ok(opened.newest()),
        // A cursor of this stream is never ahead of it.
        Begin::After(cursor)
            if cursor.stream_id != opened.stream_id || cursor.place.position >= opened.settled_below =>
        {
            Err(StreamError::ForeignCursor)
        }
        Begin::After(cursor) => Ok(cursor.place),
    }
}

/// One stream, between two steps.
struct Reader {
    events: Arc<BookingEvents>,
    open: OpenStream,
    opened: Opened,
    filter: EventFilter,
    /// `None` for a stream that follows.
    ends_at: Option<i64>,
    nudges: watch::Receiver<()>,
    /// Everything up to here was looked at.
    place: Place,
    /// What was found and is still to be sent.
    found: vec::IntoIter<(Place, BookingEvent)>,
    state: State,
    /// Whether the reader has been at the end once.
    is_live: bool,
    silent_since: Instant,
    /// How long to wait for the next nudge.
    patience: Duration,
}

/// What is to be done once everything found is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Look: there may be more.
    Reading,
    /// Tell the cursor, then rest.
    Arrived,
    /// Wait for something to happen, then look.
    Resting,
    /// Tell the cursor, then end.
    Ending,
    Ended,
}

impl Reader {
    /// The next step; `None` at the end.
    async fn next(&mut self) -> Result<Option<Step>, StreamError> {
        loop {
            if let Some((place, event)) = self.found.next() {
                let lag = self.is_live.then(|| self.events.clock.now() - event.occurred_at);
                self.open.sent(lag);
                return Ok(Some(self.step(Some(event), place)));
            }
            match self.state {
                State::Reading => self.look().await?,
                State::Resting => {
                    self.rest().await;
                    self.look().await?;
                }
                State::Arrived => {
                    self.state = State::Resting;
                    return Ok(Some(self.step(None, self.place)));
                }
                State::Ending => {
                    self.state = State::Ended;
                    return Ok(Some(self.step(None, self.place)));
                }
                State::Ended => return Ok(None),
            }
            if self.found.as_slice().is_empty() && self.silent_since.elapsed() >= self.events.live.settings.heartbeat {
                return Ok(Some(self.step(None, self.place)));
            }
        }
    }

    /// Takes the next page, and sees what is to be done after it.
    async fn look(&mut self) -> Result<(), StreamError> {
        // Whoever commits from here on is heard, whether or not this look sees it.
        self.nudges.mark_unchanged();
        let page = self.events.events_after(self.place, &self.filter).await?;
        self.open.looked(self.events.clock.now(), page.held_back_since);
        self.patience = self.patience_after(&page);
        self.place = page.reached;
        let seen_below = if page.more { page.reached.position } else { page.settled_below };
        self.state = if self.ends_at.is_some_and(|end| seen_below >= end) {
            State::Ending
        } else if page.more {
            State::Reading
        } else if !self.is_live && self.ends_at.is_none() {
            State::Arrived
        } else {
            State::Resting
        };
        self.found = page.events.into_iter();
        Ok(())
    }

    /// What waits for a transaction to end comes without a nudge when the transaction is somebody
    /// else's: looked for soon, and then less and less often.
    fn patience_after(&self, page: &Page) -> Duration {
        let poll = self.events.live.settings.poll;
        let waits = page.held_back_since.is_some() || self.ends_at.is_some();
        match (waits, page.events.is_empty()) {
            (false, _) => poll,
            (true, true) => (self.patience * 2).min(poll),
            (true, false) => LOOK_INTERVAL.min(poll),
        }
    }

    async fn rest(&mut self) {
        self.is_live = true;
        tokio::time::sleep(self.events.live.look_interval()).await;
        tokio::select! {
            // The sender lives as long as `events`.
            _ = self.nudges.changed() => {}
            () = tokio::time::sleep(self.patience) => {}
        }
    }

    fn step(&mut self, event: Option<BookingEvent>, place: Place) -> Step {
        self.silent_since = Instant::now();
        Step { event, cursor: Cursor { stream_id: self.opened.stream_id, place } }
    }
}
