-- Consents of customers, as booking-service delivers them, for what a follow-up may be for.

-- A row for each purpose and channel; '' means every channel. `version` is that of the customer after the change; for a
-- merged customer, that of the remaining one. Of the row of a channel and the one of every channel, the newer one
-- decides, and at the same version the one of the channel: an older delivery that arrives late is stored beside a newer
-- one, and does not count.
CREATE TABLE customer_consents (
    customer_id  uuid    NOT NULL,
    purpose      text    NOT NULL CONSTRAINT customer_consent_purpose CHECK (purpose IN ('TRANSACTIONAL', 'MARKETING')),
    channel      text    NOT NULL CONSTRAINT customer_consent_channel
                         CHECK (channel IN ('', 'WEB', 'EMAIL', 'SMS', 'VOICE', 'WHATSAPP', 'FACEBOOK', 'INSTAGRAM')),
    granted      boolean NOT NULL,
    version      bigint  NOT NULL CONSTRAINT customer_consent_version CHECK (version >= 1),
    PRIMARY KEY (customer_id, purpose, channel)
);

-- Whether a message for this purpose may be sent to a customer by this channel. Without a record: TRANSACTIONAL yes,
-- MARKETING no. So it is without a customer (null). '' is a channel that is not known yet: then no channel may be declined.
CREATE FUNCTION is_consented(customer uuid, purpose text, channel text) RETURNS boolean LANGUAGE sql STABLE
RETURN (
    SELECT
        COALESCE(
            (SELECT c.granted
             FROM customer_consents c
             WHERE c.customer_id = $1 AND c.purpose = $2 AND c.channel IN ('', $3)
             -- at the same version, which a merge of customers delivers, the one of the channel
             ORDER BY c.version DESC, c.channel DESC
             LIMIT 1),
            $2 = 'TRANSACTIONAL')
        AND ($3 <> '' OR NOT EXISTS (
            SELECT
            FROM customer_consents c
            WHERE c.customer_id = $1 AND c.purpose = $2 AND NOT c.granted
              AND (c.version, c.channel) > (
                  COALESCE(
                      (SELECT e.version FROM customer_consents e
                       WHERE e.customer_id = $1 AND e.purpose = $2 AND e.channel = ''),
                      0),
                  '')))
);

-- The follow-ups of a customer: those that a withdrawal cancels, and all of them for their removal.
CREATE INDEX follow_ups_by_customer ON follow_ups (customer_id, purpose, status) WHERE customer_id IS NOT NULL;
