-- DeleteCustomer: deletes a bounded number of a customer's follow-ups, with their idempotency keys, and the consents when
-- no follow-up is left. So a refusal counts as long as something could be sent. $1 the customer.
--
-- Always one row. Follow-ups that another statement has locked are left for the next run.
WITH follow_up AS (
    DELETE FROM follow_ups
    WHERE follow_up_id = ANY (ARRAY(
        SELECT follow_up_id FROM follow_ups WHERE customer_id = $1 LIMIT 1000 FOR UPDATE SKIP LOCKED))
    RETURNING follow_up_id
),
key AS (
    DELETE FROM idempotency_keys WHERE follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM follow_up))
),
counted AS MATERIALIZED (
    SELECT f.count, EXISTS (SELECT FROM follow_ups WHERE customer_id = $1 OFFSET f.count) AS remaining
    FROM (SELECT count(*) AS count FROM follow_up) AS f
),
consent AS (
    DELETE FROM customer_consents WHERE customer_id = $1 AND NOT (SELECT remaining FROM counted) RETURNING 1
)
SELECT (SELECT count(*) FROM consent) AS "consents!", c.count AS "follow_ups!", c.remaining AS "remaining!"
FROM counted AS c
