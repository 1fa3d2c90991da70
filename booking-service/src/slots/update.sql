-- UpdateSlot: closes or opens a slot, or sets its seats or price. A NULL parameter changes nothing.
--
-- Always one row. `outcome` is
--   updated          the slot was changed as requested;
--   unchanged        the slot already was as requested;
--   below_reserved   nothing was written: more seats are reserved than the slot would have;
--   venue_not_found, slot_not_found
--   contended        nothing was written: the slot changed between snapshot and lock; run it again.
WITH before AS MATERIALIZED (
    SELECT s.*,
           COALESCE($4::integer, s.capacity) AS new_capacity,
           COALESCE($5::bigint, s.price_per_person_cents) AS new_price,
           CASE $6::boolean WHEN true THEN 'CLOSED' WHEN false THEN 'OPEN' ELSE s.state END AS new_state,
           -- a given value is pinned, also when it equals the schedule's
           s.capacity_pinned OR $4 IS NOT NULL AS new_capacity_pinned,
           s.price_pinned OR $5 IS NOT NULL AS new_price_pinned,
           CASE WHEN $6 IS NULL THEN s.open_pinned ELSE NOT $6 END AS new_open_pinned
    FROM slots s
    WHERE s.venue_id = $1 AND s.slot_date = $2 AND s.start_time = $3
),
verdict AS MATERIALIZED (
    SELECT
        CASE WHEN new_capacity < reserved THEN 'below_reserved'
             WHEN (capacity, price_per_person_cents, state, capacity_pinned, price_pinned, open_pinned)
                  = (new_capacity, new_price, new_state, new_capacity_pinned, new_price_pinned, new_open_pinned)
             THEN 'unchanged'
             ELSE 'update'
        END AS verdict,
        before.*
    FROM before
),
updated AS (                       -- the gate: the update sees the latest committed version of the row
    UPDATE slots s
    SET capacity = b.new_capacity,
        price_per_person_cents = b.new_price,
        state = b.new_state,
        capacity_pinned = b.new_capacity_pinned,
        price_pinned = b.new_price_pinned,
        open_pinned = b.new_open_pinned
    FROM verdict b
    WHERE s.venue_id = $1 AND s.slot_date = $2 AND s.start_time = $3
      AND b.verdict = 'update'
      AND s.reserved <= b.new_capacity
      -- another schedule or UpdateSlot has not changed it since the snapshot
      AND (s.capacity, s.price_per_person_cents, s.state) = (b.capacity, b.price_per_person_cents, b.state)
      AND (s.capacity_pinned, s.price_pinned, s.open_pinned) = (b.capacity_pinned, b.price_pinned, b.open_pinned)
    RETURNING s.*
)
SELECT
    CASE WHEN updated.venue_id IS NOT NULL THEN 'updated'
         WHEN verdict.verdict = 'update' THEN 'contended'
         WHEN verdict.verdict IS NOT NULL THEN verdict.verdict
         WHEN EXISTS (SELECT FROM venues WHERE venue_id = $1) THEN 'slot_not_found'
         ELSE 'venue_not_found'
    END AS "outcome!",
    verdict.starts_at AS "starts_at?",
    verdict.ends_at AS "ends_at?",
    COALESCE(updated.capacity, verdict.capacity) AS "capacity?",
    COALESCE(updated.reserved, verdict.reserved) AS "reserved?",
    COALESCE(updated.price_per_person_cents, verdict.price_per_person_cents) AS "price_per_person_cents?",
    COALESCE(updated.state, verdict.state) <> 'OPEN' AS "closed?"
FROM (SELECT) AS always
LEFT JOIN verdict ON true
LEFT JOIN updated ON true
