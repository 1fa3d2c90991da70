-- Messages to be sent later. Text and metadata are sealed. The associated data of the metadata contain the follow-up's
-- id and its conversation. Those of the text are those of the message that it becomes, so that completing can copy the
-- sealed text. Redacting that message removes both. The conversation need not exist yet.
--
-- An unfinished follow-up is PENDING or CLAIMED. A PENDING one waits until `due_at`. Then the follow-up clock chooses
-- its text and makes it ready (`ready_at`), and it can be claimed from `next_attempt_at` on. A CLAIMED one has a lease.
-- The token of the last claim stays in the row after the lease: until another call claims the follow-up, a late sender
-- can still report it as sent.
CREATE TABLE follow_ups (
    follow_up_id         uuid        PRIMARY KEY,
    conversation_id      text        COLLATE "C" NOT NULL
                                     CONSTRAINT follow_up_conversation_id_form CHECK (octet_length(conversation_id) BETWEEN 1 AND 100 AND conversation_id !~ '[^A-Za-z0-9._:-]'),
    trigger              text        NOT NULL CONSTRAINT follow_up_trigger
                                     CHECK (trigger IN ('POST_EVENT', 'REENGAGEMENT', 'EMOTION_BASED', 'CUSTOM')),
    subject              text        COLLATE "C" NOT NULL DEFAULT '' CONSTRAINT follow_up_subject_form
                                     CHECK (subject ~ '^([a-z][a-z_]{0,39}(:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?)?$'),
    status               text        NOT NULL CONSTRAINT follow_up_status
                                     CHECK (status IN ('PENDING', 'CLAIMED', 'COMPLETED', 'CANCELLED', 'FAILED', 'MISSED')),
    due_at               timestamptz NOT NULL,
    time_zone            text        NOT NULL,
    -- The channel to send by. If none was given, it is the conversation's, set when the follow-up becomes ready. Empty
    -- means unknown.
    channel              text        NOT NULL DEFAULT '' CONSTRAINT follow_up_channel
                                     CHECK (channel IN ('', 'WEB', 'EMAIL', 'SMS', 'VOICE', 'WHATSAPP', 'FACEBOOK', 'INSTAGRAM')),
    -- The user, as in conversations: the conversation gets it from a follow-up that is its first message.
    user_hash            bytea,
    user_sealed          bytea,
    content_sealed       bytea,
    metadata_sealed      bytea,
    ready_at             timestamptz,
    attempts             integer     NOT NULL DEFAULT 0,
    max_attempts         integer     NOT NULL CONSTRAINT follow_up_max_attempts CHECK (max_attempts >= 1),
    -- The earliest time of the next claim. NULL exactly when the follow-up is finished.
    next_attempt_at      timestamptz,
    lease_expires_at     timestamptz,
    claim_token          uuid,
    -- The idempotency key of the claim (for a repeated request), and the claimant (for operators).
    claim_key            text        CONSTRAINT follow_up_claim_key_form CHECK (octet_length(claim_key) BETWEEN 1 AND 255 AND claim_key !~ '[^ -~]'),
    claimant             text        CONSTRAINT follow_up_claimant_form CHECK (octet_length(claimant) BETWEEN 1 AND 100 AND claimant !~ '[^ -~]'),
    last_failure_reason  text        CONSTRAINT follow_up_failure_reason CHECK (last_failure_reason IN (
                                     'CHANNEL_UNREACHABLE', 'RECIPIENT_UNKNOWN', 'RECIPIENT_OPTED_OUT', 'MESSAGE_REJECTED',
                                     'RATE_LIMITED', 'TIMEOUT', 'SENDER_FAULT', 'OTHER', 'LEASE_EXPIRED')),
    -- The id of the message that it becomes: the same in every attempt, unless the sender chooses another one.
    message_id           uuid        NOT NULL,
    -- The trace context of the call that scheduled it.
    traceparent          text,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    finished_at          timestamptz,
    -- The last time when it waited because a person held its conversation. It counts as overdue from then.
    held_until           timestamptz,
    -- The customer of booking-service whose consent for the purpose decides whether it is sent (0011_consents.sql). NULL:
    -- none was named, so there is no record.
    customer_id          uuid,
    purpose              text        NOT NULL DEFAULT 'TRANSACTIONAL' CONSTRAINT follow_up_purpose
                                     CHECK (purpose IN ('TRANSACTIONAL', 'MARKETING')),
    cancellation_reason  text        CONSTRAINT follow_up_cancellation_reason
                                     CHECK (cancellation_reason IN ('REQUESTED', 'CUSTOMER_RETURNED', 'CONSENT_MISSING')),
    CONSTRAINT follow_up_user CHECK (COALESCE(octet_length(user_hash), 32) = 32 AND (user_hash IS NULL) = (user_sealed IS NULL)),
    CONSTRAINT follow_up_attempts CHECK (attempts BETWEEN 0 AND max_attempts),
    CONSTRAINT follow_up_finished CHECK ((status IN ('COMPLETED', 'CANCELLED', 'FAILED', 'MISSED')) = (finished_at IS NOT NULL)),
    CONSTRAINT follow_up_next_attempt CHECK ((finished_at IS NULL) = (next_attempt_at IS NOT NULL)),
    CONSTRAINT follow_up_cancelled CHECK ((status = 'CANCELLED') = (cancellation_reason IS NOT NULL)),
    CONSTRAINT follow_up_lease CHECK ((status = 'CLAIMED') = (lease_expires_at IS NOT NULL)),
    CONSTRAINT follow_up_claimed CHECK (status <> 'CLAIMED' OR (claim_token IS NOT NULL AND ready_at IS NOT NULL)),
    CONSTRAINT follow_up_worded CHECK (ready_at IS NULL OR content_sealed IS NOT NULL OR status = 'COMPLETED'),
    CONSTRAINT follow_up_custom_text CHECK (trigger <> 'CUSTOM' OR content_sealed IS NOT NULL OR status = 'COMPLETED')
);

ALTER TABLE follow_ups
    ALTER COLUMN content_sealed SET STORAGE EXTERNAL,
    ALTER COLUMN metadata_sealed SET STORAGE EXTERNAL;

-- At most one unfinished follow-up for a conversation, a trigger and a subject.
CREATE UNIQUE INDEX follow_ups_unfinished_key ON follow_ups (conversation_id, trigger, subject) WHERE finished_at IS NULL;
-- For the follow-up clock: due follow-ups that are not ready, and overdue ones, ready or not. The first index has
-- `next_attempt_at`, because the clock postpones a follow-up that must wait, so that it does not block the others.
CREATE INDEX follow_ups_waiting ON follow_ups (next_attempt_at) WHERE status = 'PENDING' AND ready_at IS NULL;
CREATE INDEX follow_ups_overdue ON follow_ups (COALESCE(held_until, due_at)) WHERE status = 'PENDING';
-- Claimable follow-ups, and expired leases.
CREATE INDEX follow_ups_claimable ON follow_ups (channel, next_attempt_at) WHERE status = 'PENDING' AND ready_at IS NOT NULL;
CREATE INDEX follow_ups_leased ON follow_ups (lease_expires_at) WHERE status = 'CLAIMED';
-- For the answer to a repeated claim.
CREATE INDEX follow_ups_claim_key ON follow_ups (claim_key) WHERE status = 'CLAIMED' AND claim_key IS NOT NULL;
-- Finished follow-ups, for their removal.
CREATE INDEX follow_ups_finished ON follow_ups (finished_at) WHERE finished_at IS NOT NULL;
-- For lists by due time: of all follow-ups, of a conversation, or of a subject. The rows of one trigger and status are
-- adjacent.
CREATE INDEX follow_ups_list ON follow_ups (trigger, status, due_at, follow_up_id);
CREATE INDEX follow_ups_list_by_conversation ON follow_ups (conversation_id, trigger, status, due_at, follow_up_id);
CREATE INDEX follow_ups_list_by_subject ON follow_ups (subject, trigger, status, due_at, follow_up_id) WHERE subject <> '';

-- The result of the call with this key. The fingerprint is a keyed hash of the request; the request itself is not
-- stored. `follow_up_id` is null when there was nothing to cancel.
CREATE TABLE idempotency_keys (
    method        text        NOT NULL,
    key           text        NOT NULL CONSTRAINT idempotency_key_form CHECK (octet_length(key) BETWEEN 1 AND 255 AND key !~ '[^ -~]'),
    fingerprint   bytea       NOT NULL CONSTRAINT idempotency_fingerprint_length CHECK (octet_length(fingerprint) = 32),
    follow_up_id  uuid,
    outcome       text        NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (method, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
-- They go with their follow-up when its conversation is deleted.
CREATE INDEX idempotency_keys_follow_up ON idempotency_keys (follow_up_id) WHERE follow_up_id IS NOT NULL;

-- The next check for re-engagement, one row a user. The first conversation with the user inserts the row, and only the
-- check updates it, so that storing a message does not get slower. `silent_since` is the beginning of the silence for
-- which the last re-engagement was scheduled.
CREATE TABLE reengagement_checks (
    -- As in conversations.
    user_hash     bytea       PRIMARY KEY CONSTRAINT reengagement_user_hash_length CHECK (octet_length(user_hash) = 32),
    check_at      timestamptz NOT NULL,
    silent_since  timestamptz
);
CREATE INDEX reengagement_checks_due ON reengagement_checks (check_at);
