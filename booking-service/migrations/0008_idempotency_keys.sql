-- What a call with this key led to. The fingerprint is a keyed hash of the request: the request
-- itself is not kept.
CREATE TABLE idempotency_keys (
    method       text        NOT NULL,
    key          text        NOT NULL CONSTRAINT idempotency_key_form CHECK (key ~ '^[ -~]{1,255}$'),
    fingerprint  bytea       NOT NULL CONSTRAINT idempotency_fingerprint_length CHECK (octet_length(fingerprint) = 32),
    resource_id  uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (method, key)
);
