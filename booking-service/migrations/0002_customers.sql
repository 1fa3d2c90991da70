-- A customer is found by the keyed hash of the normalised e-mail or telephone number. The contact is sealed as one value
-- with the id and the version as associated data. So the contact of another customer, an older contact, or a part of one
-- cannot be put into a row unnoticed. The hashes are compared with the contact when it is opened.
CREATE TABLE customers (
    customer_id     uuid        PRIMARY KEY,
    email_hash      bytea       CONSTRAINT customers_email_hash_key UNIQUE
                                CONSTRAINT customer_email_hash_length CHECK (octet_length(email_hash) = 32),
    phone_hash      bytea       CONSTRAINT customers_phone_hash_key UNIQUE
                                CONSTRAINT customer_phone_hash_length CHECK (octet_length(phone_hash) = 32),
    contact_sealed  bytea,
    -- Rises with each change of the contact.
    version         bigint      NOT NULL CONSTRAINT customer_version CHECK (version >= 1),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    erased_at       timestamptz,
    -- The remaining customer, if this one was merged into it; see 0010_customer_merges.sql. The row keeps the e-mail and
    -- the number for which the remaining customer's row has no room. So these still find the remaining customer.
    merged_into     uuid        REFERENCES customers
                                CONSTRAINT customer_merged_into_another CHECK (merged_into <> customer_id),
    merged_at       timestamptz CONSTRAINT customer_merged_at CHECK ((merged_into IS NULL) = (merged_at IS NULL)),
    CONSTRAINT customer_erased_wholly CHECK (
        CASE WHEN erased_at IS NOT NULL THEN num_nonnulls(email_hash, phone_hash, contact_sealed) = 0
             WHEN merged_into IS NOT NULL THEN contact_sealed IS NOT NULL
             ELSE contact_sealed IS NOT NULL AND num_nonnulls(email_hash, phone_hash) > 0
        END)
) WITH (fillfactor = 80);

CREATE INDEX customers_merged ON customers (merged_into) WHERE merged_into IS NOT NULL;

-- The customer to whom a contact belongs: the one with this e-mail; otherwise the one with this telephone number, unless
-- both e-mails are known and differ. The parameters are the hashes under every key of the ring; an empty array if the
-- contact has no e-mail or no number. A merged customer stands for the remaining one, whose row is returned.
--
-- Always one row; its `customer_id` is null for a new customer, and then only `must_reseal` counts. `must_reseal`: the
-- sealed contact for the customer's row must be made again. Either the contact adds to the known customer an e-mail or a
-- number that no other customer has, or the number of a new customer belongs to another one, so the new row must not have
-- it.
--
-- CreateBooking runs it, so it reads single columns, which cost less than whole rows.
CREATE FUNCTION customer_of(email_hashes bytea[], phone_hashes bytea[])
RETURNS TABLE (customer_id uuid, version bigint, contact_sealed bytea, must_reseal boolean) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN by_email.customer_id IS NOT NULL THEN COALESCE(remaining.customer_id, by_email.customer_id)
             WHEN COALESCE(remaining.email_hash, by_phone.email_hash) IS NULL OR $1 = '{}'
             THEN COALESCE(remaining.customer_id, by_phone.customer_id)
        END,
        COALESCE(remaining.version, by_email.version, by_phone.version),
        COALESCE(remaining.contact_sealed, by_email.contact_sealed, by_phone.contact_sealed),
        CASE WHEN by_email.customer_id IS NOT NULL
             THEN COALESCE(remaining.phone_hash, by_email.phone_hash) IS NULL AND $2 <> '{}' AND by_phone.customer_id IS NULL
             -- The e-mail is added to the customer of the number, or that customer has another e-mail.
             ELSE by_phone.customer_id IS NOT NULL AND $1 <> '{}'
        END
    FROM (SELECT) AS always
    LEFT JOIN (
        SELECT c.customer_id, c.version, c.contact_sealed, c.phone_hash, c.merged_into
        FROM customers c WHERE c.email_hash = ANY ($1) LIMIT 1
    ) AS by_email ON true
    LEFT JOIN (
        SELECT c.customer_id, c.version, c.contact_sealed, c.email_hash, c.merged_into
        FROM customers c WHERE c.phone_hash = ANY ($2) LIMIT 1
    ) AS by_phone ON true
    LEFT JOIN LATERAL (                    -- OFFSET: one lookup, and none if the customer was not merged
        SELECT r.customer_id, r.version, r.contact_sealed, r.email_hash, r.phone_hash
        FROM customers r
        WHERE r.customer_id = CASE WHEN by_email.customer_id IS NULL THEN by_phone.merged_into ELSE by_email.merged_into END
        OFFSET 0
    ) AS remaining ON true;
END;
