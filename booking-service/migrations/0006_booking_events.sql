-- What happened to each booking, in order. `data` is the published event as JSON: ids and figures,
-- no personal data.
--
-- An event's hash covers everything that is published and the hash before it, so that no event can
-- be altered, dropped or inserted unseen. It is computed here and nowhere else: a wrong one cannot
-- be written. (Escaping backslashes and decoding is how text becomes its bytes by functions that
-- PostgreSQL allows in a generated column.)
CREATE TABLE booking_events (
    event_id       uuid        PRIMARY KEY,
    booking_id     uuid        NOT NULL REFERENCES bookings,
    version        bigint      NOT NULL CONSTRAINT event_version CHECK (version >= 1),
    type           text        NOT NULL,
    occurred_at    timestamptz NOT NULL,
    data           json        NOT NULL,
    traceparent    text,
    previous_hash  bytea       NOT NULL,
    hash           bytea       NOT NULL GENERATED ALWAYS AS (sha256(
                       previous_hash || uuid_send(event_id) || uuid_send(booking_id) || int8send(version)
                       || timestamptz_send(occurred_at) || decode(replace(type || data::text, '\', '\\'), 'escape')
                   )) STORED,
    CONSTRAINT booking_events_version_key UNIQUE (booking_id, version),
    CONSTRAINT event_previous_hash CHECK (octet_length(previous_hash) = CASE WHEN version = 1 THEN 0 ELSE 32 END)
);
