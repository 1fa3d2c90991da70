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
