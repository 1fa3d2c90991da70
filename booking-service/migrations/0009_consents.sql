-- Consents of customers: those that count, and the history of all changes.

-- A row for each purpose and channel; '' means every channel. A call for every channel removes the rows of single
-- channels, so the row of a channel is always newer than the one of every channel, and decides. EraseCustomer removes the
-- rows. Without a row TRANSACTIONAL is granted, and the other purposes are declined.
CREATE TABLE customer_consents (
    customer_id  uuid        NOT NULL REFERENCES customers,
    purpose      text        NOT NULL CONSTRAINT customer_consent_purpose
                             CHECK (purpose IN ('TRANSACTIONAL', 'MARKETING', 'ANALYTICS')),
    channel      text        NOT NULL CONSTRAINT customer_consent_channel
                             CHECK (channel IN ('', 'WEB', 'EMAIL', 'SMS', 'VOICE', 'WHATSAPP', 'FACEBOOK', 'INSTAGRAM')),
    granted      boolean     NOT NULL,
    source       text        NOT NULL,
    changed_at   timestamptz NOT NULL,
    PRIMARY KEY (customer_id, purpose, channel)
);

-- The history: a row for each change. `version` is that of the customer after it. The history stays after erasure, to
-- show that a message had been allowed; then `source`, a text of the caller, is empty.
CREATE TABLE customer_consent_changes (
    customer_id  uuid        NOT NULL REFERENCES customers,
    version      bigint      NOT NULL CONSTRAINT customer_consent_change_version CHECK (version >= 2),
    purpose      text        NOT NULL CONSTRAINT customer_consent_change_purpose
                             CHECK (purpose IN ('TRANSACTIONAL', 'MARKETING', 'ANALYTICS')),
    channel      text        NOT NULL CONSTRAINT customer_consent_change_channel
                             CHECK (channel IN ('', 'WEB', 'EMAIL', 'SMS', 'VOICE', 'WHATSAPP', 'FACEBOOK', 'INSTAGRAM')),
    granted      boolean     NOT NULL,
    source       text        NOT NULL,
    changed_at   timestamptz NOT NULL,
    -- The name of the caller's credential; empty where callers need none.
    changed_by   text        NOT NULL,
    PRIMARY KEY (customer_id, version)
);

-- The history is only appended to. The exception: erasure empties `source`.
CREATE FUNCTION keep_consent_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        OLD.source := '';
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the history of consents cannot be changed';
END
$$;
CREATE TRIGGER customer_consent_changes_kept BEFORE UPDATE OR DELETE ON customer_consent_changes
    FOR EACH ROW EXECUTE FUNCTION keep_consent_change();
