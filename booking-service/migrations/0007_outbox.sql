-- What is still to be told to others, written in the statement that made it true.
CREATE TABLE outbox_messages (
    event_id     uuid        NOT NULL REFERENCES booking_events,
    destination  text        NOT NULL,
    booking_id   uuid        NOT NULL,
    traceparent  text,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (event_id, destination)
);
