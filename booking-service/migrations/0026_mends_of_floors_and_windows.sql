-- How many upcoming bookings of a venue sit in an area with tables and have none. One without an area, from before the
-- floor, sits in the first area: set_floor leaves those out.
--
-- Volatile, so that it sees the floor that the same statement has set.
CREATE FUNCTION bookings_without_table(venue uuid, today date, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN (
        SELECT count(*)
        FROM bookings b
        CROSS JOIN LATERAL (
            SELECT a.table_sets
            FROM areas a
            WHERE a.venue_id = venue AND (b.area IS NULL OR a.area = b.area)
            ORDER BY a.rank
            LIMIT 1
        ) AS a
        WHERE b.venue_id = venue AND b.slot_date >= today - 2 AND b.status IN ('PENDING', 'CONFIRMED')
          AND b.tables IS NULL AND a.table_sets <> '{}' AND COALESCE(b.occupied_until, b.ends_at) > moment);
END
$$;

-- As in 0022_waitlist_windows.sql. An offer that was moved out of its window is a place in its new slot, too.
CREATE OR REPLACE FUNCTION waitlist_place(customer uuid, venue uuid, on_date date, since time, until time) RETURNS uuid
LANGUAGE sql VOLATILE AS $$
SELECT w.waitlist_entry_id
FROM waitlist_entries w
WHERE w.customer_id = customer AND w.venue_id = venue AND w.slot_date = on_date AND w.status IN ('WAITING', 'OFFERED')
  AND (COALESCE(w.from_time, w.start_time) <= until AND COALESCE(w.until_time, w.start_time) >= since
       OR w.start_time BETWEEN since AND until)
LIMIT 1
$$;
