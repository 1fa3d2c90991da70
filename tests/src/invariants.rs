//! What must hold in the databases at any time, as queries that count the exceptions.

/// Counts the slots whose `reserved` is not the number of seats of their pending and confirmed bookings.
pub const SLOTS_THAT_MISCOUNT: &str = "
    SELECT count(*) FROM slots s WHERE reserved <> (
        SELECT COALESCE(sum(party_size), 0) FROM bookings b
        WHERE (b.venue_id, b.slot_date, b.start_time) = (s.venue_id, s.slot_date, s.start_time)
          AND b.status IN ('PENDING', 'CONFIRMED'))";

/// Counts the bookings whose events are not an unbroken hash chain that ends in the booking's own hash.
pub const BROKEN_CHAINS: &str = "
    SELECT count(*) FROM (
        SELECT b.version, b.event_hash, count(*) AS events, max(e.version) AS newest,
               bool_and(e.previous_hash = COALESCE(e.before, '')) AS linked,
               (array_agg(e.hash ORDER BY e.version DESC))[1] AS last_hash,
               (array_agg(e.data->>'status' ORDER BY e.version DESC))[1] AS last_status, b.status
        FROM bookings b
        JOIN (SELECT *, lag(hash) OVER (PARTITION BY booking_id ORDER BY version) AS before FROM booking_events) AS e
             USING (booking_id)
        GROUP BY b.booking_id
    ) AS chain
    WHERE events <> version OR newest <> version OR NOT linked OR last_hash <> event_hash
       OR last_status <> 'BOOKING_STATUS_' || status";

/// Counts the days of areas whose taken seats are not those of the live bookings.
pub const AREAS_THAT_MISCOUNT: &str = "
    SELECT count(*)
    FROM floors f
    CROSS JOIN LATERAL (
        SELECT FROM (
            SELECT area, day, taken, tables
            FROM area_days d
            WHERE d.venue_id = f.venue_id AND 0 < ANY (taken)
        ) AS kept
        FULL JOIN area_counts(f, '2020-01-01') AS counted ON counted.area = kept.area AND counted.day = kept.day
        WHERE (kept.taken, kept.tables) IS DISTINCT FROM (counted.taken, counted.tables)
    ) AS different";

/// Entries that wait although there are seats for them. There must be none when the workers are idle.
pub const UNSERVED_ENTRIES: &str = "
    SELECT count(*) FROM waitlist_entries w JOIN slots s USING (venue_id, slot_date, start_time)
    WHERE w.status = 'WAITING' AND s.state = 'OPEN' AND s.reserved + w.party_size <= s.capacity";

/// Entries that contradict their bookings. There must be none at any time.
pub const INCONSISTENT_ENTRIES: &str = "
    SELECT count(*) FROM waitlist_entries w
    LEFT JOIN bookings b ON b.waitlist_entry_id = w.waitlist_entry_id
    WHERE b.booking_id <> w.booking_id OR w.status <> ALL (CASE
        WHEN b.booking_id IS NULL THEN '{WAITING,LEFT,CLOSED}'::text[]
        WHEN b.status = 'PENDING' THEN '{OFFERED}'
        WHEN b.status = 'EXPIRED' THEN '{LAPSED}'
        WHEN b.status = 'CANCELLED' THEN '{LEFT,ACCEPTED}'
        ELSE '{ACCEPTED}' END)
       OR w.status = 'OFFERED' AND (w.venue_id, w.slot_date, w.start_time) <> (b.venue_id, b.slot_date, b.start_time)";

/// Bookings whose sums are wrong. A booking's paid amount is its succeeded and disputed charges minus their disputed
/// parts minus its succeeded refunds; its refunded amount is those refunds. The refunded amount of a Stripe charge is
/// the sum of the refunds that name it. The refund due follows from the amount that the venue keeps.
pub const BOOKINGS_WITH_WRONG_SUMS: &str = "
    SELECT count(*) FROM bookings b, LATERAL (
        SELECT COALESCE(sum(amount_cents) FILTER (WHERE kind = 'CHARGE' AND status IN ('SUCCEEDED', 'DISPUTED')), 0) AS charged,
               COALESCE(sum(disputed_cents), 0) AS disputed,
               COALESCE(sum(refunded_cents), 0) AS refunded_by_stripe,
               COALESCE(sum(amount_cents) FILTER (WHERE refund_of IS NOT NULL AND status = 'SUCCEEDED'), 0) AS refund_entries,
               COALESCE(sum(amount_cents) FILTER (WHERE kind = 'REFUND' AND status = 'SUCCEEDED'), 0) AS refunded
        FROM payments p WHERE p.booking_id = b.booking_id
    ) AS moved
    WHERE paid_cents <> charged - disputed - refunded OR refunded_cents <> refunded OR disputed_cents <> disputed
       OR refunded_by_stripe <> refund_entries
       OR refund_due_cents <> GREATEST(paid_cents - COALESCE(extras_cents, 0) - CASE status
              WHEN 'CANCELLED' THEN kept_cents
              WHEN 'EXPIRED' THEN 0
              ELSE GREATEST(total_cents + COALESCE(retained_cents, 0), no_show_fee_cents)
          END, 0)";

/// Counts the conversations whose statistics are not those of their messages, when all messages are counted.
pub const STATISTICS_THAT_DIFFER: &str = "
    WITH scored AS (
        SELECT conversation_id, sequence, emotion_score, emotion_score::text::numeric AS score,
               row_number() OVER (PARTITION BY conversation_id ORDER BY sequence DESC) AS newness
        FROM messages WHERE emotion_score IS NOT NULL
    ), computed AS (
        SELECT conversation_id, count(*) AS score_count, sum(score) AS score_sum, min(emotion_score) AS score_min,
               max(emotion_score) AS score_max, max(sequence) AS through,
               array_agg(score ORDER BY sequence) FILTER (WHERE newness <= 10) AS recent,
               (avg(score) FILTER (WHERE newness <= 10))::double precision AS recent_mean,
               CASE WHEN count(*) >= 4 THEN
                   ((sum(score) FILTER (WHERE newness <= 2) - sum(score) FILTER (WHERE newness IN (3, 4))) / 2)::double precision
               END AS trend
        FROM scored GROUP BY conversation_id
    )
    SELECT count(*)
    FROM computed AS c
    FULL JOIN emotion_statistics AS s USING (conversation_id)
    WHERE (c.score_count, c.score_sum, c.score_min, c.score_max, c.through, c.recent, c.recent_mean, c.trend)
        IS DISTINCT FROM
        (s.score_count, s.score_sum, s.score_min, s.score_max, s.aggregated_through, s.recent_scores, s.recent_mean,
         s.trend_delta)";

/// Counts the conversations whose sequences are not 1, 2, 3, ….
pub const SEQUENCES_WITH_GAPS: &str = "
    SELECT count(*)
    FROM (SELECT max(sequence) - count(*) AS gap FROM messages GROUP BY conversation_id) AS g
    WHERE gap <> 0";
