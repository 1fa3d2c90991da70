-- The plain service's tables: the columns, constraints and indexes of the services' own that these calls need.

CREATE TABLE IF NOT EXISTS venues (
    venue_id         uuid        PRIMARY KEY,
    name             text        NOT NULL,
    time_zone        text        NOT NULL,
    currency         text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    min_party_size   integer     NOT NULL,
    max_party_size   integer     NOT NULL,
    notice_minutes   integer     NOT NULL,
    horizon_days     integer     NOT NULL,
    hold_minutes     integer     NOT NULL,
    deposit_percent  integer     NOT NULL CHECK (deposit_percent BETWEEN 0 AND 100),
    created_at       timestamptz NOT NULL
);

-- `reserved` changes with every booking, so the pages keep room for new versions of a row.
CREATE TABLE IF NOT EXISTS slots (
    venue_id                uuid        NOT NULL REFERENCES venues,
    slot_date               date        NOT NULL,
    start_time              time        NOT NULL,
    starts_at               timestamptz NOT NULL,
    ends_at                 timestamptz NOT NULL,
    capacity                integer     NOT NULL,
    reserved                integer     NOT NULL DEFAULT 0,
    price_per_person_cents  bigint      NOT NULL,
    PRIMARY KEY (venue_id, slot_date, start_time),
    CHECK (reserved BETWEEN 0 AND capacity)
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS customers (
    customer_id     uuid        PRIMARY KEY,
    email_hash      bytea       UNIQUE CHECK (octet_length(email_hash) = 32),
    phone_hash      bytea       UNIQUE CHECK (octet_length(phone_hash) = 32),
    contact_sealed  bytea       NOT NULL,
    created_at      timestamptz NOT NULL,
    CHECK (num_nonnulls(email_hash, phone_hash) > 0)
);

CREATE TABLE IF NOT EXISTS bookings (
    booking_id              uuid        PRIMARY KEY,
    confirmation_code       text        NOT NULL CONSTRAINT bookings_confirmation_code_key UNIQUE,
    status                  text        NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED')),
    venue_id                uuid        NOT NULL,
    slot_date               date        NOT NULL,
    start_time              time        NOT NULL,
    starts_at               timestamptz NOT NULL,
    ends_at                 timestamptz NOT NULL,
    customer_id             uuid        NOT NULL REFERENCES customers,
    party_size              integer     NOT NULL CHECK (party_size BETWEEN 1 AND 50),
    price_per_person_cents  bigint      NOT NULL,
    total_cents             bigint      NOT NULL,
    deposit_cents           bigint      NOT NULL CHECK (deposit_cents BETWEEN 0 AND total_cents),
    currency                text        NOT NULL,
    hold_expires_at         timestamptz,
    confirmed_at            timestamptz,
    conversation_id         text        NOT NULL,
    details_sealed          bytea       NOT NULL,
    source                  text        NOT NULL,
    created_at              timestamptz NOT NULL,
    FOREIGN KEY (venue_id, slot_date, start_time) REFERENCES slots,
    CHECK ((status = 'PENDING') = (hold_expires_at IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS bookings_venue_slot ON bookings (venue_id, slot_date, start_time, booking_id);
CREATE INDEX IF NOT EXISTS bookings_slot ON bookings (slot_date, start_time, booking_id);
CREATE INDEX IF NOT EXISTS bookings_customer ON bookings (customer_id, slot_date, start_time, booking_id);
CREATE INDEX IF NOT EXISTS bookings_conversation ON bookings (conversation_id, slot_date, start_time, booking_id)
    WHERE conversation_id <> '';
CREATE INDEX IF NOT EXISTS bookings_hold ON bookings (hold_expires_at, booking_id) WHERE hold_expires_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS booking_events (
    event_id     uuid        PRIMARY KEY,
    booking_id   uuid        NOT NULL REFERENCES bookings,
    version      bigint      NOT NULL,
    type         text        NOT NULL,
    occurred_at  timestamptz NOT NULL,
    data         json        NOT NULL,
    UNIQUE (booking_id, version)
);

CREATE TABLE IF NOT EXISTS outbox_messages (
    event_id         uuid        PRIMARY KEY,
    destination      text        NOT NULL,
    created_at       timestamptz NOT NULL,
    attempts         integer     NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_messages_due ON outbox_messages (destination, next_attempt_at);

CREATE TABLE IF NOT EXISTS idempotency_keys (
    method       text        NOT NULL,
    key          text        NOT NULL,
    fingerprint  bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    resource_id  uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (method, key)
);
CREATE INDEX IF NOT EXISTS idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE TABLE IF NOT EXISTS conversations (
    conversation_id  text        COLLATE "C" PRIMARY KEY,
    user_hash        bytea,
    user_sealed      bytea,
    channel          text        NOT NULL,
    message_count    bigint      NOT NULL,
    last_message_at  timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS conversations_list ON conversations (channel, created_at, conversation_id);
CREATE INDEX IF NOT EXISTS conversations_user ON conversations (user_hash, created_at) WHERE user_hash IS NOT NULL;

CREATE TABLE IF NOT EXISTS messages (
    message_id       uuid             CONSTRAINT messages_pkey PRIMARY KEY,
    conversation_id  text             COLLATE "C" NOT NULL REFERENCES conversations,
    sequence         bigint           NOT NULL,
    role             text             NOT NULL,
    channel          text             NOT NULL,
    content_sealed   bytea            NOT NULL,
    emotion_score    double precision CHECK (emotion_score BETWEEN 0 AND 1),
    emotions_sealed  bytea,
    sent_at          timestamptz      NOT NULL,
    stored_at        timestamptz      NOT NULL,
    fingerprint      bytea            NOT NULL CHECK (octet_length(fingerprint) = 32),
    UNIQUE (conversation_id, sequence)
);
