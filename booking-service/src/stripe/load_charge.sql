-- A charge through Stripe as it is recorded, by the name of its payment ($1) or by the charge itself ($2).
--
-- No row: nothing is known of it. Otherwise one, with the entries of the refunds that count, the newest first: who
-- decides by it writes at this revision, or decides anew.
SELECT
    p.payment_id AS "payment_id!", p.booking_id AS "booking_id!", p.revision AS "revision!", p.status AS "status!",
    p.amount_cents AS "amount_cents!", p.currency AS "currency!", p.charge_id, p.refunded_cents AS "refunded_cents!",
    p.disputed_cents AS "disputed_cents!", p.occurred_at AS "occurred_at!", p.facts AS "facts!",
    refunds.ids AS "refund_ids!", refunds.cents AS "refund_cents!"
FROM payments p
CROSS JOIN LATERAL (
    SELECT COALESCE(array_agg(r.payment_id ORDER BY r.created_at DESC, r.payment_id DESC), '{}') AS ids,
           COALESCE(array_agg(r.amount_cents ORDER BY r.created_at DESC, r.payment_id DESC), '{}') AS cents
    FROM payments r
    WHERE r.refund_of = p.payment_id AND r.refund_of IS NOT NULL AND r.status = 'SUCCEEDED'
) AS refunds
WHERE p.payment_id = COALESCE(
    (SELECT payment_id FROM payments WHERE method = 'STRIPE' AND kind = 'CHARGE' AND external_reference = $1),
    (SELECT payment_id FROM payments WHERE charge_id = $2::text AND charge_id IS NOT NULL))
