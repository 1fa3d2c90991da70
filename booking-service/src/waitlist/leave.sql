-- LeaveWaitlist: removes a customer from the queue.
--
-- No row: there is no such entry. Otherwise one row: the entry after the call, and `outcome`:
--   LEFT       it has left, by this call or earlier;
--   OFFERED    nothing was written: the caller must cancel the offered booking at `booking_version`, which changes the
--              entry too;
--   CLOSED     nothing was written: the entry has already ended in another `status`;
--   CONTENDED  nothing was written: the entry changed between snapshot and lock; run the statement again.
-- $3: write nothing, and return the entry as it would be.
-- Bookings and slots are locked before entries. So CancelBooking's own statement cancels an offer, and this statement
-- reads the booking without a lock: if the offer is accepted meanwhile, the booking has another version.
WITH entry AS MATERIALIZED (
    SELECT * FROM waitlist_entries WHERE waitlist_entry_id = $1
),
waiting AS MATERIALIZED (          -- row lock; sees the latest committed version
    SELECT w.waitlist_entry_id, w.status
    FROM entry
    JOIN waitlist_entries w ON w.waitlist_entry_id = entry.waitlist_entry_id
    WHERE entry.status = 'WAITING' AND NOT $3
    FOR NO KEY UPDATE OF w
),
left_queue AS (
    UPDATE waitlist_entries w
    SET status = 'LEFT', details_sealed = NULL, updated_at = $2::timestamptz
    FROM waiting
    WHERE w.waitlist_entry_id = waiting.waitlist_entry_id AND waiting.status = 'WAITING'
    RETURNING w.waitlist_entry_id
),
verdict AS (
    SELECT entry.*, done.now_left,
        CASE WHEN entry.status = 'LEFT' OR done.now_left THEN 'LEFT'
             WHEN entry.status = 'WAITING' THEN 'CONTENDED'
             WHEN entry.status = 'OFFERED' THEN 'OFFERED'
             ELSE 'CLOSED'
        END AS outcome
    FROM entry
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM left_queue) OR $3::boolean AND entry.status = 'WAITING' AS now_left) AS done
)
SELECT
    v.outcome AS "outcome!",
    CASE WHEN v.outcome = 'OFFERED'
         THEN (SELECT b.version FROM bookings b WHERE b.booking_id = v.booking_id)
    END AS "booking_version?",
    v.waitlist_entry_id AS "waitlist_entry_id!",
    CASE WHEN v.outcome = 'LEFT' THEN 'LEFT' ELSE v.status END AS "status!",
    v.venue_id AS "venue_id!",
    v.slot_date AS "slot_date!",
    v.start_time AS "start_time!",
    (SELECT s.starts_at FROM slots s
     WHERE s.venue_id = v.venue_id AND s.slot_date = v.slot_date AND s.start_time = v.start_time) AS "starts_at!",
    (SELECT venue.time_zone FROM venues venue WHERE venue.venue_id = v.venue_id) AS "time_zone!",
    v.party_size AS "party_size!",
    0 AS "position!",
    v.customer_id AS "customer_id!",
    v.conversation_id AS "conversation_id!",
    CASE WHEN v.offered_at IS NOT NULL THEN v.booking_id END AS "booking_id?",
    NULL::timestamptz AS "offer_expires_at?",
    v.created_at AS "created_at!",
    CASE WHEN v.now_left THEN $2 ELSE v.updated_at END AS "updated_at!",
    v.from_time AS "from_time?", v.until_time AS "until_time?", v.areas AS "areas?",
    NULL::bigint AS "offered_total_cents?", NULL::text AS "offered_currency?", NULL::text AS "offered_area?"
FROM verdict v
