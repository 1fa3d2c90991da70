-- RecordConsent: records a consent unless a newer one is there, and cancels pending follow-ups that may no longer be sent,
-- a bounded number. One statement that commits by itself.
--
-- $1 customer, $2 purpose, $3 channel ('' is every one), $4 granted, $5 version, $6 now.
--
-- Always one row; `more`: as many were cancelled as one run may cancel. The same consent again cancels the next ones.
--
-- A follow-up that another statement has locked is skipped: whoever claims it next looks at the consent. A follow-up that
-- is claimed may already be sent, so it stays claimed.
WITH recorded AS (
    INSERT INTO customer_consents AS c (customer_id, purpose, channel, granted, version)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (customer_id, purpose, channel) DO UPDATE
    SET granted = EXCLUDED.granted, version = EXCLUDED.version
    WHERE c.version <= EXCLUDED.version
    RETURNING c.version
),
declined AS MATERIALIZED (         -- by this channel, or by one that is not known yet
    SELECT f.follow_up_id
    FROM follow_ups AS f
    CROSS JOIN LATERAL (
        SELECT COALESCE(
            NULLIF(f.channel, ''),
            (SELECT channel FROM conversations WHERE conversation_id = f.conversation_id LIMIT 1),
            '') AS channel
    ) AS k
    WHERE f.customer_id = $1 AND f.purpose = $2 AND f.status = 'PENDING'
      AND NOT $4 AND EXISTS (SELECT FROM recorded)
      AND ($3 = '' OR k.channel IN ('', $3))
      -- a newer consent for the channel of the follow-up, which was delivered earlier
      AND NOT EXISTS (
          SELECT
          FROM customer_consents AS newer
          WHERE newer.customer_id = $1 AND newer.purpose = $2 AND newer.channel IN ('', k.channel)
            AND newer.granted AND (newer.version, newer.channel) > ($5, $3))
    LIMIT 1000
    FOR UPDATE OF f SKIP LOCKED
),
cancelled AS (
    UPDATE follow_ups AS f
    SET status = 'CANCELLED', cancellation_reason = 'CONSENT_MISSING', next_attempt_at = NULL, finished_at = $6,
        updated_at = GREATEST(f.updated_at, $6::timestamptz)
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM declined))
    RETURNING 1
)
SELECT EXISTS (SELECT FROM recorded) AS "recorded!", c.count AS "cancelled!", c.count = 1000 AS "more!"
FROM (SELECT count(*) AS count FROM cancelled) AS c
