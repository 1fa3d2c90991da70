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
    cursor::{Cursor, StreamPosition},
    live::{EventStreamSettings, LiveStreams, OpenStream},
};
use self::{
    live::READ_INTERVAL,
    page::{Opened, Page},
};
use crate::{
    domain::{BookingId, VenueId},
    event_stream::BookingEvents,
    event_stream::event::BookingEvent,
};

/// A request for a stream.
#[derive(Debug)]
pub struct StreamRequest {
    pub begin: Begin,
    /// True: continue with new events. False: end at the newest event at the time of the call.
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

/// Selects the events that match every given filter.
#[derive(Debug)]
pub struct EventFilter {
    pub venue_id: Option<VenueId>,
    pub booking_id: Option<BookingId>,
    /// Empty: any type.
    pub types: Vec<String>,
}

/// An event with its cursor, or only a new cursor.
#[derive(Debug)]
pub struct Step {
    pub event: Option<BookingEvent>,
    pub cursor: Cursor,
}

/// Why a stream cannot begin or continue.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the cursor belongs to another stream")]
    ForeignCursor,
    #[error("events have future transaction ids: the database was restored without restart_event_stream()")]
    FutureEvents,
    #[error("the events cannot be read")]
    Read(#[from] ReadError),
}

impl From<DatabaseError> for StreamError {
    fn from(error: DatabaseError) -> Self {
        Self::Read(error.into())
    }
}

impl BookingEvents {
    /// Streams events in the order of their commits, so that no event is missed; see `migrations/0005_events.sql`.
    ///
    /// The stream reads only when the client asks for the next step: a slow reader holds one page in memory. Dropping
    /// the stream frees all its state.
    ///
    /// # Errors
    /// [`StreamError`], before the stream or as its last item.
    pub async fn stream_booking_events(
        self: Arc<Self>,
        request: StreamRequest,
    ) -> Result<impl Stream<Item = Result<Step, StreamError>> + Send + 'static, StreamError> {
        let open = self.live.open();
        let opened = self.open_event_stream().await?;
        if opened.has_future_events {
            return Err(StreamError::FutureEvents);
        }
        let reader = Reader {
            reached: first_position(request.begin, &opened)?,
            ends_at: (!request.follow).then_some(opened.committed_below),
            opened,
            filter: request.filter,
            nudges: self.live.nudges(),
            open,
            events: self,
            found: Vec::new().into_iter(),
            state: State::Reading,
            is_live: false,
            last_step_at: Instant::now(),
            nudge_timeout: READ_INTERVAL,
        };
        Ok(stream::try_unfold(reader, async |mut reader| Ok(reader.next().await?.map(|step| (step, reader)))))
    }
}

fn first_position(begin: Begin, opened: &Opened) -> Result<StreamPosition, StreamError> {
    match begin {
        Begin::Oldest => Ok(StreamPosition::START),
        Begin::Newest => Ok(opened.newest()),
        // A cursor of this stream never lies ahead of it.
        Begin::After(cursor)
            if cursor.stream_id != opened.stream_id || cursor.position.transaction_position >= opened.settled_below =>
        {
            Err(StreamError::ForeignCursor)
        }
        Begin::After(cursor) => Ok(cursor.position),
    }
}

/// One stream, between two steps.
struct Reader {
    events: Arc<BookingEvents>,
    open: OpenStream,
    opened: Opened,
    filter: EventFilter,
    /// `None` for a stream with `follow`.
    ends_at: Option<i64>,
    nudges: watch::Receiver<()>,
    /// Every event up to this position has been read.
    reached: StreamPosition,
    /// Events that were read and not sent yet.
    found: vec::IntoIter<(StreamPosition, BookingEvent)>,
    state: State,
    /// Whether the reader has reached the end at least once.
    is_live: bool,
    last_step_at: Instant,
    /// How long to wait for the next nudge.
    nudge_timeout: Duration,
}

/// What to do once all events that were read are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Read the next page.
    Reading,
    /// Send the cursor, then wait.
    CaughtUp,
    /// Wait for new events, then read.
    Waiting,
    /// Send the cursor, then end.
    Ending,
    Ended,
}

impl Reader {
    /// The next step; `None` at the end.
    async fn next(&mut self) -> Result<Option<Step>, StreamError> {
        loop {
            if let Some((position, event)) = self.found.next() {
                let lag = self.is_live.then(|| self.events.clock.now() - event.occurred_at);
                self.open.record_sent(lag);
                return Ok(Some(self.step(Some(event), position)));
            }
            match self.state {
                State::Reading => self.read_page().await?,
                State::Waiting => {
                    self.wait().await;
                    self.read_page().await?;
                }
                State::CaughtUp => {
                    self.state = State::Waiting;
                    return Ok(Some(self.step(None, self.reached)));
                }
                State::Ending => {
                    self.state = State::Ended;
                    return Ok(Some(self.step(None, self.reached)));
                }
                State::Ended => return Ok(None),
            }
            if self.found.as_slice().is_empty() && self.last_step_at.elapsed() >= self.events.live.settings.heartbeat {
                return Ok(Some(self.step(None, self.reached)));
            }
        }
    }

    /// Reads the next page and sets the state that follows.
    async fn read_page(&mut self) -> Result<(), StreamError> {
        // A commit after this line causes a nudge, even if the statement below does not see its events.
        self.nudges.mark_unchanged();
        let page = self.events.events_after(self.reached, &self.filter).await?;
        self.open.record_held_back(self.events.clock.now(), page.held_back_since);
        self.nudge_timeout = self.nudge_timeout_after(&page);
        self.reached = page.reached;
        let seen_below = if page.more { page.reached.transaction_position } else { page.settled_below };
        self.state = if self.ends_at.is_some_and(|end| seen_below >= end) {
            State::Ending
        } else if page.more {
            State::Reading
        } else if !self.is_live && self.ends_at.is_none() {
            State::CaughtUp
        } else {
            State::Waiting
        };
        self.found = page.events.into_iter();
        Ok(())
    }

    /// The end of another process's transaction causes no nudge. While a transaction holds events back, the stream
    /// reads again soon, and then less and less often.
    fn nudge_timeout_after(&self, page: &Page) -> Duration {
        let poll = self.events.live.settings.poll;
        let reads_soon = page.held_back_since.is_some() || self.ends_at.is_some();
        match (reads_soon, page.events.is_empty()) {
            (false, _) => poll,
            (true, true) => (self.nudge_timeout * 2).min(poll),
            (true, false) => READ_INTERVAL.min(poll),
        }
    }

    async fn wait(&mut self) {
        self.is_live = true;
        tokio::time::sleep(self.events.live.read_interval()).await;
        tokio::select! {
            // The sender lives as long as `events`.
            _ = self.nudges.changed() => {}
            () = tokio::time::sleep(self.nudge_timeout) => {}
        }
    }

    fn step(&mut self, event: Option<BookingEvent>, position: StreamPosition) -> Step {
        self.last_step_at = Instant::now();
        Step { event, cursor: Cursor { stream_id: self.opened.stream_id, position } }
    }
}
