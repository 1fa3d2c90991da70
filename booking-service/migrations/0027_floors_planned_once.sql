-- The functions of floors again, with the same rules as in 0015_floors.sql, without the work that did not depend on the
-- booking. PostgreSQL keeps what it has parsed and planned of a plpgsql function for the session; an SQL function that
-- it cannot inline begins anew at each use. A visit finds its day's row in most cases, so occupy() makes the row only when the update
-- finds none. Places are as before; see docs/decisions/0088-occupancy-is-an-array-a-day.md for what it saved.

CREATE OR REPLACE FUNCTION sitting_minutes(sittings jsonb, start_time time, party_size integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN (
        SELECT (rule ->> 'minutes')::integer
        FROM jsonb_array_elements(sittings) WITH ORDINALITY AS it (rule, n)
        WHERE party_size <= COALESCE((rule ->> 'max_party_size')::integer, 50)
          AND start_time >= COALESCE((rule ->> 'from_time')::time, '00:00')
          AND start_time < COALESCE((rule ->> 'until_time')::time, '24:00')
        ORDER BY n
        LIMIT 1);
END
$$;

CREATE OR REPLACE FUNCTION bits_of_tables(of_area areas, keys text[]) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF keys IS NULL THEN
        RETURN 0;
    END IF;
    RETURN (
        SELECT COALESCE(bit_or(1::bigint << n::integer - 1), 0)
        FROM jsonb_array_elements(of_area.tables) WITH ORDINALITY AS it (a_table, n)
        WHERE a_table ->> 'table' = ANY (keys));
END
$$;

-- The day of a tick, for all ticks before and after `counts_from`.
CREATE FUNCTION day_of(f floors, tick integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
SELECT floor(tick::double precision * (f).tick_minutes / 1440)::integer
$$;

CREATE OR REPLACE FUNCTION make_area_day(f floors, a areas, in_day integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO area_days (venue_id, area, day, seats, taken, tables)
    SELECT f.venue_id, a.area, in_day, COALESCE(a.seats, 32767), array_fill(0::smallint, ARRAY[1440 / f.tick_minutes]),
           CASE WHEN a.table_sets <> '{}' THEN array_fill(0::bigint, ARRAY[1440 / f.tick_minutes]) END
    WHERE NOT EXISTS (SELECT FROM area_days o WHERE o.venue_id = f.venue_id AND o.area = a.area AND o.day = in_day)
    ON CONFLICT DO NOTHING;
END
$$;

-- The second attempt follows the making of the day's row, by this call or by another one meanwhile.
CREATE OR REPLACE FUNCTION occupy(
    f floors, a areas, since timestamptz, until timestamptz, party_size integer, forced boolean, with_tables bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    day_ticks CONSTANT integer := 1440 / f.tick_minutes;
    first     CONSTANT integer := first_tick(f, since);
    last      CONSTANT integer := last_tick(f, until);
    first_day CONSTANT integer := day_of(f, first);
    most      CONSTANT integer := COALESCE(a.seats, 32767);
    i integer;
    j integer;
BEGIN
    FOR d IN first_day .. day_of(f, last) LOOP
        i := GREATEST(first - d * day_ticks, 0) + 1;
        j := LEAST(last - d * day_ticks, day_ticks - 1) + 1;
        FOR attempt IN 1 .. 2 LOOP
            UPDATE area_days o
            SET taken[i:j] = ARRAY(SELECT GREATEST(t + party_size, 0) FROM unnest(o.taken[i:j]) AS t),
                seats = CASE WHEN forced
                             THEN GREATEST(o.seats, party_size + (SELECT max(t) FROM unnest(o.taken[i:j]) AS t))
                             ELSE o.seats
                        END,
                tables = CASE WHEN with_tables = 0 THEN o.tables ELSE
                    o.tables[:i - 1]
                    || ARRAY(SELECT CASE WHEN party_size > 0 THEN t | with_tables ELSE t & ~with_tables END
                             FROM unnest(o.tables[i:j]) AS t)
                    || o.tables[j + 1:]
                END
            WHERE o.venue_id = f.venue_id AND o.area = a.area AND o.day = d
              AND (forced OR party_size <= 0 OR LEAST(o.seats, most) - party_size >= ALL (o.taken[i:j]))
              AND (with_tables = 0 OR party_size <= 0
                   OR 0 = ALL (ARRAY(SELECT t & with_tables FROM unnest(o.tables[i:j]) AS t)));
            EXIT WHEN FOUND OR party_size <= 0;
            IF attempt = 1 THEN
                PERFORM make_area_day(f, a, d);
                CONTINUE;
            END IF;
            -- The sitting began on the day before, which had the seats.
            IF d > first_day THEN
                PERFORM occupy(
                    f, a, since, f.counts_from + make_interval(hours => 24 * d), -party_size, false, with_tables);
            END IF;
            RETURN false;
        END LOOP;
    END LOOP;
    RETURN true;
END
$$;

-- An area with tables is locked before a set is chosen: then what is free stays free. If a day has no row to lock, the
-- row is made, and the second attempt locks it.
CREATE OR REPLACE FUNCTION take_place(
    venue uuid, wanted text, since timestamptz, until timestamptz, party_size integer, OUT area text, OUT tables text[])
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    f floors;
    a areas;
    chosen bigint;
    first integer;
    last integer;
    day_ticks integer;
    days integer;
    taken bigint;
BEGIN
    SELECT * INTO f FROM floors WHERE venue_id = venue;
    first := first_tick(f, since);
    last := last_tick(f, until);
    day_ticks := 1440 / f.tick_minutes;
    FOR a IN SELECT * FROM areas o WHERE o.venue_id = venue AND (wanted = '' OR o.area = wanted) ORDER BY o.rank LOOP
        chosen := 0;
        IF a.table_sets <> '{}' THEN
            FOR attempt IN 1 .. 2 LOOP
                SELECT count(DISTINCT d.day), COALESCE(bit_or(t), 0)
                INTO days, taken
                FROM (
                    SELECT d.day, d.tables
                    FROM area_days d
                    WHERE d.venue_id = venue AND d.area = a.area AND d.day BETWEEN day_of(f, first) AND day_of(f, last)
                    ORDER BY d.day
                    FOR NO KEY UPDATE
                ) AS d
                CROSS JOIN LATERAL unnest(d.tables[
                    GREATEST(first - d.day * day_ticks, 0) + 1 : last - d.day * day_ticks + 1]) AS t;
                EXIT WHEN days > day_of(f, last) - day_of(f, first);
                FOR d IN day_of(f, first) .. day_of(f, last) LOOP
                    PERFORM make_area_day(f, a, d);
                END LOOP;
            END LOOP;
            SELECT s.tables INTO chosen
            FROM unnest(a.table_sets) WITH ORDINALITY AS s (tables, least, most, n)
            WHERE party_size BETWEEN s.least AND s.most AND s.tables & taken = 0
            ORDER BY s.n
            LIMIT 1;
        END IF;
        IF chosen IS NOT NULL AND occupy(f, a, since, until, party_size, false, chosen) THEN
            area := a.area;
            IF chosen <> 0 THEN
                tables := ARRAY(
                    SELECT it ->> 'table'
                    FROM jsonb_array_elements(a.tables) WITH ORDINALITY AS t (it, n)
                    WHERE chosen & (1::bigint << n::integer - 1) <> 0
                    ORDER BY n);
            END IF;
            RETURN;
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION open_seats(f floors, a areas, first integer, last integer, party_size integer)
RETURNS integer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    day_ticks CONSTANT integer := 1440 / f.tick_minutes;
    open integer;
    taken bigint;
    largest integer;
    fits boolean;
BEGIN
    SELECT GREATEST(0, COALESCE(min(LEAST(d.seats, a.seats) - t.seats), a.seats, 32767)), COALESCE(bit_or(t.tables), 0)
    INTO open, taken
    FROM area_days d
    CROSS JOIN LATERAL unnest(
        d.taken[GREATEST(first - d.day * day_ticks, 0) + 1 : last - d.day * day_ticks + 1],
        d.tables[GREATEST(first - d.day * day_ticks, 0) + 1 : last - d.day * day_ticks + 1]) AS t (seats, tables)
    WHERE d.venue_id = a.venue_id AND d.area = a.area AND d.day BETWEEN day_of(f, first) AND day_of(f, last);
    IF a.table_sets = '{}' THEN
        RETURN open;
    END IF;
    SELECT COALESCE(max(s.max_party_size), 0),
           COALESCE(bool_or(party_size BETWEEN s.min_party_size AND s.max_party_size), false)
    INTO largest, fits
    FROM unnest(a.table_sets) AS s
    WHERE s.tables & taken = 0;
    RETURN LEAST(open, largest, CASE WHEN fits THEN open ELSE party_size - 1 END);
END
$$;

DROP FUNCTION taken_tables(floors, areas, integer, integer);
