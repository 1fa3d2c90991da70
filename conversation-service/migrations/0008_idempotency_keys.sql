-- What a call with this key led to. The fingerprint is a keyed hash of the request: the request itself
-- is not kept. `follow_up_id` is null when there was nothing to cancel.
CREATE TABLE idempotency_keys (
    method        text        NOT NULL,
    key           text        NOT NULL CONSTRAINT idempotency_key_form CHECK (key ~ '^[ -~]{1,255}$'),
    fingerprint   bytea       NOT NULL CONSTRAINT idempotency_fingerprint_length CHECK (octet_length(fingerprint) = 32),
    follow_up_id  uuid,
    outcome       text        NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (method, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
