-- SetFloor, what a floor's bookings take, and the first event of a booking with its place.

-- The data of the first event of a booking, with its place and terms. The function without them stays for older services.
CREATE FUNCTION booking_created(
    booking_id uuid, venue_id uuid, slot_date date, start_time time, status text, moment timestamptz, customer_id uuid,
    conversation_id text, confirmation_code text, starts_at timestamptz, ends_at timestamptz, time_zone text,
    party_size integer, price_per_person_cents bigint, total_cents bigint, deposit_cents bigint, currency text,
    hold_expires_at timestamptz, area text, occupied_until timestamptz,
    tables text[], terms jsonb) RETURNS json
LANGUAGE sql STABLE AS $$
SELECT json_build_object(
    'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date, 'start_time', left(start_time::text, 5),
    'booking_version', '1', 'status', 'BOOKING_STATUS_' || status, 'occurred_at', moment,
    'customer_id', customer_id, 'conversation_id', conversation_id, 'confirmation_code', confirmation_code,
    'starts_at', starts_at, 'ends_at', ends_at, 'time_zone', time_zone, 'party_size', party_size,
    'price_per_person_cents', price_per_person_cents::text, 'total_cents', total_cents::text,
    'deposit_cents', deposit_cents::text, 'currency', currency, 'hold_expires_at', hold_expires_at,
    'waitlist_entry_id', '', 'area', COALESCE(area, ''), 'occupied_until', occupied_until,
    'tables', COALESCE(to_json(tables), '[]'), 'terms', terms)
$$;

-- The taken seats and tables of a venue's areas by the rows of its live bookings, from a date on: what `area_days` must hold.
CREATE FUNCTION area_counts(f floors, from_date date)
RETURNS TABLE (area text, day integer, taken smallint[], tables bigint[])
LANGUAGE sql STABLE AS $$
WITH visit AS MATERIALIZED (       -- not of an area that was removed after the visits there
    SELECT a.area, a.table_sets <> '{}' AS has_tables, b.party_size, bits_of_tables(a, b.tables) AS tables,
           first_tick(f, b.starts_at) AS first, last_tick(f, COALESCE(b.occupied_until, b.ends_at)) AS last
    FROM bookings b
    CROSS JOIN LATERAL (
        SELECT *
        FROM areas a
        WHERE a.venue_id = f.venue_id AND (b.area IS NULL OR a.area = b.area)
        ORDER BY a.rank
        LIMIT 1
    ) AS a
    WHERE b.venue_id = f.venue_id AND b.slot_date >= from_date AND b.status IN ('PENDING', 'CONFIRMED')
),
seats AS (
    -- a table that two bookings have makes all tables taken: verify-events finds it, and no other party gets a table
    SELECT area, tick, sum(party_size) AS taken,
           CASE WHEN sum(bit_count(tables::bit(64))) = bit_count(bit_or(tables)::bit(64)) THEN bit_or(tables) ELSE -1
           END AS tables
    FROM visit
    CROSS JOIN LATERAL generate_series(first, last) AS tick
    GROUP BY 1, 2
),
days AS (
    SELECT area, has_tables, day
    FROM visit
    CROSS JOIN LATERAL generate_series(
        floor(first / (1440.0 / f.tick_minutes))::integer, floor(last / (1440.0 / f.tick_minutes))::integer) AS day
    GROUP BY 1, 2, 3
)
SELECT d.area, d.day, array_agg(COALESCE(s.taken, 0)::smallint ORDER BY tick),
       CASE WHEN d.has_tables THEN array_agg(COALESCE(s.tables, 0) ORDER BY tick) END
FROM days d
CROSS JOIN LATERAL generate_series(d.day * 1440 / f.tick_minutes, (d.day + 1) * 1440 / f.tick_minutes - 1) AS tick
LEFT JOIN seats s USING (area, tick)
GROUP BY d.area, d.day, d.has_tables
$$;

-- SetFloor, for a floor whose version is still `read_version` (0: none). `outcome`: set; contended; venue_not_found;
-- area_has_bookings, with the area; table_has_bookings, with area and table. Nothing was written unless it is set; with
-- `only_check` nothing is written.
--
-- A function, because the bookings must be counted by a snapshot that is taken after all upcoming slots are locked: a
-- booking that is created meanwhile is counted here or sees the new floor.
CREATE FUNCTION set_floor(
    venue uuid, read_version bigint, new_floor jsonb, counts_since timestamptz, today date, moment timestamptz,
    only_check boolean,
    OUT outcome text, OUT area text, OUT table_key text, OUT version bigint, OUT counted bigint,
    OUT without_table bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    f floors;
BEGIN
    PERFORM FROM venues v WHERE v.venue_id = venue FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'venue_not_found';
        RETURN;
    END IF;
    IF COALESCE((SELECT o.version FROM floors o WHERE o.venue_id = venue), 0) <> read_version THEN
        outcome := 'contended';
        RETURN;
    END IF;
    PERFORM
    FROM slots s
    WHERE s.venue_id = venue AND s.slot_date >= today - 2
    ORDER BY s.slot_date, s.start_time
    FOR NO KEY UPDATE;
    area := (
        SELECT b.area
        FROM bookings b
        WHERE b.venue_id = venue AND b.slot_date >= today - 2 AND b.status IN ('PENDING', 'CONFIRMED')
          AND b.occupied_until > moment
          AND b.area NOT IN (SELECT it ->> 'area' FROM jsonb_array_elements(new_floor -> 'areas') AS it)
        LIMIT 1);
    IF area IS NOT NULL THEN
        outcome := 'area_has_bookings';
        RETURN;
    END IF;
    -- A booking has tables only in an area.
    SELECT b.area, t INTO area, table_key
    FROM bookings b
    CROSS JOIN LATERAL unnest(b.tables) AS t
    WHERE b.venue_id = venue AND b.slot_date >= today - 2 AND b.status IN ('PENDING', 'CONFIRMED')
      AND b.occupied_until > moment
      AND NOT EXISTS (
          SELECT
          FROM jsonb_array_elements(new_floor -> 'areas') AS it
          CROSS JOIN LATERAL jsonb_array_elements(it -> 'tables') AS of_area
          WHERE it ->> 'area' = b.area AND of_area ->> 'table' = t)
    LIMIT 1;
    IF area IS NOT NULL THEN
        outcome := 'table_has_bookings';
        RETURN;
    END IF;
    outcome := 'set';
    version := read_version + 1;
    IF only_check THEN
        RETURN;
    END IF;
    DELETE FROM area_days d WHERE d.venue_id = venue;
    DELETE FROM areas a WHERE a.venue_id = venue;
    IF jsonb_array_length(new_floor -> 'areas') = 0 THEN
        DELETE FROM floors o WHERE o.venue_id = venue;
        counted := 0;
    ELSE
        INSERT INTO floors AS o (venue_id, tick_minutes, counts_from, turn_minutes, sittings, version, updated_at)
        SELECT venue, (new_floor ->> 'tick_minutes')::integer, counts_since, (new_floor ->> 'turn_minutes')::integer,
               new_floor -> 'sittings', read_version + 1, moment
        ON CONFLICT (venue_id) DO UPDATE
        SET tick_minutes = EXCLUDED.tick_minutes, turn_minutes = EXCLUDED.turn_minutes, sittings = EXCLUDED.sittings,
            version = EXCLUDED.version, updated_at = EXCLUDED.updated_at
        RETURNING o.* INTO f;
        INSERT INTO areas (venue_id, area, name, seats, rank, tables, combinations, table_sets)
        SELECT venue, it ->> 'area', it ->> 'name', (it ->> 'seats')::integer, rank, it -> 'tables', it -> 'combinations',
               ARRAY(SELECT s FROM jsonb_populate_recordset(NULL::table_set, it -> 'table_sets') AS s)
        FROM jsonb_array_elements(new_floor -> 'areas') WITH ORDINALITY AS a (it, rank);
        INSERT INTO area_days (venue_id, area, day, seats, taken, tables)
        SELECT venue, c.area, c.day, GREATEST(COALESCE(a.seats, 32767), (SELECT max(t) FROM unnest(c.taken) AS t)),
               c.taken, c.tables
        FROM area_counts(f, today - 2) AS c
        JOIN areas a ON a.venue_id = venue AND a.area = c.area;
        SELECT count(*), count(*) FILTER (WHERE b.tables IS NULL AND EXISTS (
            SELECT FROM areas a WHERE a.venue_id = venue AND a.area = b.area AND a.table_sets <> '{}'))
        INTO counted, without_table
        FROM bookings b
        WHERE b.venue_id = venue AND b.slot_date >= today - 2 AND b.status IN ('PENDING', 'CONFIRMED')
          AND COALESCE(b.occupied_until, b.ends_at) > moment;
    END IF;
    UPDATE slots s SET has_floor = f.venue_id IS NOT NULL
    WHERE s.venue_id = venue AND s.slot_date >= today - 2 AND s.has_floor <> (f.venue_id IS NOT NULL);
    UPDATE venues v SET has_floor = f.venue_id IS NOT NULL
    WHERE v.venue_id = venue AND v.has_floor <> (f.venue_id IS NOT NULL);
    -- More seats may be what waiting customers wait for.
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT DISTINCT w.venue_id, w.slot_date, w.start_time, clock_timestamp()
    FROM waitlist_entries w
    WHERE w.venue_id = venue AND w.status = 'WAITING' AND w.queue_number > 0 AND w.slot_date >= today - 2;
END
$$;
