-- Personal data is sealed. A customer is found by the keyed hash of the normalised e-mail. The hash is also part of the
-- associated data of the sealed fields, so it changes only together with them.
CREATE TABLE customers (
    customer_id   uuid        PRIMARY KEY,
    email_hash    bytea       CONSTRAINT customers_email_hash_key UNIQUE
                              CONSTRAINT customer_hash_length CHECK (octet_length(email_hash) = 32),
    name_sealed   bytea,
    email_sealed  bytea,
    phone_sealed  bytea,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    erased_at     timestamptz,
    CONSTRAINT customer_erased_wholly CHECK (
        CASE WHEN erased_at IS NULL
             THEN email_hash IS NOT NULL AND name_sealed IS NOT NULL AND email_sealed IS NOT NULL
             ELSE num_nonnulls(email_hash, name_sealed, email_sealed, phone_sealed) = 0
        END)
) WITH (fillfactor = 80);
