-- The floor of a venue: its areas, and how many seats of each are taken at each time of a day.
--
-- A slot's capacity limits how many guests arrive at its start. A floor limits how many guests are seated at once: a
-- booking takes its seats of one area from its start until its table is free again, in every tick of that time.

CREATE TABLE floors (
    venue_id      uuid        PRIMARY KEY REFERENCES venues,
    tick_minutes  integer     NOT NULL CONSTRAINT floor_tick CHECK (tick_minutes IN (5, 10, 15, 20, 30, 60)),
    -- Days of ticks begin here and every 24 hours before and after: early in the morning at the venue, so that few
    -- sittings are in two of them.
    counts_from   timestamptz NOT NULL,
    -- How long a table is cleared and laid after each sitting.
    turn_minutes  integer     NOT NULL CONSTRAINT floor_turn CHECK (turn_minutes BETWEEN 0 AND 480),
    -- How long parties stay: the minutes of the first rule that fits. The last rule fits every party.
    sittings      jsonb       NOT NULL,
    version       bigint      NOT NULL CONSTRAINT floor_version CHECK (version >= 1),
    updated_at    timestamptz NOT NULL
);

-- Tables of an area that one party can have: one table, or several that are joined. A bit for each table, in the order of
-- `areas.tables`.
CREATE TYPE table_set AS (tables bigint, min_party_size integer, max_party_size integer);

CREATE TABLE areas (
    venue_id  uuid    NOT NULL REFERENCES floors,
    area      text    COLLATE "C" NOT NULL CONSTRAINT area_form
                      CHECK (area ~ '^[a-z0-9]' AND area !~ '[^a-z0-9-]' AND octet_length(area) <= 40),
    name      text    NOT NULL CONSTRAINT area_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    -- NULL: without a limit.
    seats     integer CONSTRAINT area_seats CHECK (seats BETWEEN 1 AND 10000),
    -- Bookings that name no area get the first area, in this order, that has the seats.
    rank      integer NOT NULL,
    -- The tables, and those that may be joined, as the venue set them. Without tables, only seats are counted.
    tables       jsonb NOT NULL DEFAULT '[]' CONSTRAINT area_tables CHECK (jsonb_array_length(tables) <= 60),
    combinations jsonb NOT NULL DEFAULT '[]',
    -- Both as sets, in the order in which they are tried.
    table_sets   table_set[] NOT NULL DEFAULT '{}'
                 CONSTRAINT area_table_sets CHECK ((table_sets = '{}') = (tables = '[]')),
    PRIMARY KEY (venue_id, area),
    CONSTRAINT areas_rank_key UNIQUE (venue_id, rank) DEFERRABLE
);

-- The taken seats of an area, an element for each tick of a day. No row: none are taken. For the forms that were measured
-- see docs/decisions/0088-occupancy-is-an-array-a-day.md.
--
-- `tables` has the taken tables of each tick as bits, so a table is taken or not: it cannot be taken twice.
CREATE TABLE area_days (
    venue_id  uuid       NOT NULL,
    area      text       COLLATE "C" NOT NULL,
    day       integer    NOT NULL,
    -- The area's seats; more while more are taken, because the area was made smaller.
    seats     integer    NOT NULL,
    taken     smallint[] NOT NULL,
    -- NULL: the area has no tables.
    tables    bigint[]   CONSTRAINT area_day_tables CHECK (cardinality(tables) = cardinality(taken)),
    PRIMARY KEY (venue_id, area, day),
    FOREIGN KEY (venue_id, area) REFERENCES areas,
    CONSTRAINT area_not_oversold CHECK (seats >= ALL (taken) AND 0 <= ALL (taken))
) WITH (fillfactor = 50);

-- How long a party stays that arrives at a local time. `Floor::sitting_minutes` has the same rule; a test compares the
-- two.
CREATE FUNCTION sitting_minutes(sittings jsonb, start_time time, party_size integer) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
SELECT (rule ->> 'minutes')::integer
FROM jsonb_array_elements(sittings) WITH ORDINALITY AS it (rule, n)
WHERE party_size <= COALESCE((rule ->> 'max_party_size')::integer, 50)
  AND start_time >= COALESCE((rule ->> 'from_time')::time, '00:00')
  AND start_time < COALESCE((rule ->> 'until_time')::time, '24:00')
ORDER BY n
LIMIT 1
$$;

-- The first and the last tick of a time, counted from the floor's `counts_from`.
CREATE FUNCTION first_tick(floor floors, since timestamptz) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
SELECT floor(extract(epoch FROM since - (floor).counts_from) / (60 * (floor).tick_minutes))::integer
$$;
CREATE FUNCTION last_tick(floor floors, until timestamptz) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
SELECT ceil(extract(epoch FROM until - (floor).counts_from) / (60 * (floor).tick_minutes))::integer - 1
$$;

-- The tables of an area as bits. Keys that it does not have are left out.
CREATE FUNCTION bits_of_tables(of_area areas, keys text[]) RETURNS bigint LANGUAGE sql STABLE AS $$
SELECT COALESCE(bit_or(1::bigint << n::integer - 1), 0)
FROM jsonb_array_elements((of_area).tables) WITH ORDINALITY AS it (a_table, n)
WHERE a_table ->> 'table' = ANY (keys)
$$;

-- Takes seats and tables of an area for a time (`party_size` above 0), or frees them (below 0). False: the area lacks them
-- in some tick, and nothing was changed.
--
-- Each update looks at the latest committed version of its row, so seats and tables are never taken twice. The caller has
-- locked the slot, so no SetFloor runs. `forced` takes seats that the area does not have; tables are never forced.
CREATE FUNCTION occupy(
    f floors, a areas, since timestamptz, until timestamptz, party_size integer, forced boolean, with_tables bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    day_ticks CONSTANT integer := 1440 / f.tick_minutes;
    first     CONSTANT integer := first_tick(f, since);
    last      CONSTANT integer := last_tick(f, until);
    first_day CONSTANT integer := floor(first::numeric / day_ticks);
    most      CONSTANT integer := COALESCE(a.seats, 32767);
    i integer;
    j integer;
BEGIN
    FOR d IN first_day .. floor(last::numeric / day_ticks)::integer LOOP
        i := GREATEST(first - d * day_ticks, 0) + 1;
        j := LEAST(last - d * day_ticks, day_ticks - 1) + 1;
        IF party_size > 0 THEN
            PERFORM make_area_day(f, a, d);
        END IF;
        UPDATE area_days o
        SET taken[i:j] = ARRAY(SELECT GREATEST(t + party_size, 0) FROM unnest(o.taken[i:j]) AS t),
            seats = CASE WHEN forced THEN GREATEST(o.seats, party_size + (SELECT max(t) FROM unnest(o.taken[i:j]) AS t))
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
        IF NOT FOUND AND party_size > 0 THEN
            -- The sitting began on the day before, which had the seats.
            IF d > first_day THEN
                PERFORM occupy(
                    f, a, since, f.counts_from + make_interval(hours => 24 * d), -party_size, false, with_tables);
            END IF;
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;

-- Makes the row of a day of an area if there is none.
CREATE FUNCTION make_area_day(f floors, a areas, in_day integer) RETURNS void LANGUAGE sql VOLATILE AS $$
INSERT INTO area_days (venue_id, area, day, seats, taken, tables)
SELECT f.venue_id, a.area, in_day, COALESCE(a.seats, 32767), array_fill(0::smallint, ARRAY[1440 / f.tick_minutes]),
       CASE WHEN a.table_sets <> '{}' THEN array_fill(0::bigint, ARRAY[1440 / f.tick_minutes]) END
WHERE NOT EXISTS (SELECT FROM area_days o WHERE o.venue_id = f.venue_id AND o.area = a.area AND o.day = in_day)
ON CONFLICT DO NOTHING
$$;

-- The tables that are taken in some tick of a time.
CREATE FUNCTION taken_tables(f floors, a areas, first integer, last integer) RETURNS bigint LANGUAGE sql STABLE AS $$
SELECT COALESCE(bit_or(t), 0)
FROM area_days d
CROSS JOIN LATERAL unnest(d.tables[
    GREATEST(first - d.day * 1440 / f.tick_minutes, 0) + 1 : last - d.day * 1440 / f.tick_minutes + 1]) AS t
WHERE d.venue_id = f.venue_id AND d.area = a.area
  AND d.day BETWEEN floor(first / (1440.0 / f.tick_minutes)) AND floor(last / (1440.0 / f.tick_minutes))
$$;

-- Takes the seats of a new booking: of the area that was asked for, or of the first one that has them; and the first free
-- set of its tables that fits the party, if it has tables. The area is NULL if none has the seats.
--
-- An area with tables is locked before a set is chosen: then what is free stays free.
CREATE FUNCTION take_place(
    venue uuid, wanted text, since timestamptz, until timestamptz, party_size integer, OUT area text, OUT tables text[])
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    f floors;
    a areas;
    chosen bigint;
BEGIN
    SELECT * INTO f FROM floors WHERE venue_id = venue;
    FOR a IN SELECT * FROM areas o WHERE o.venue_id = venue AND (wanted = '' OR o.area = wanted) ORDER BY o.rank LOOP
        chosen := 0;
        IF a.table_sets <> '{}' THEN
            PERFORM make_area_day(f, a, day)
            FROM generate_series(floor(first_tick(f, since) / (1440.0 / f.tick_minutes))::integer,
                                 floor(last_tick(f, until) / (1440.0 / f.tick_minutes))::integer) AS day;
            PERFORM
            FROM area_days d
            WHERE d.venue_id = venue AND d.area = a.area
              AND d.day BETWEEN floor(first_tick(f, since) / (1440.0 / f.tick_minutes))
                            AND floor(last_tick(f, until) / (1440.0 / f.tick_minutes))
            ORDER BY d.day
            FOR NO KEY UPDATE;
            SELECT s.tables INTO chosen
            FROM unnest(a.table_sets) WITH ORDINALITY AS s (tables, least, most, n),
                 taken_tables(f, a, first_tick(f, since), last_tick(f, until)) AS taken
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

-- Takes or frees the seats and tables of a booking that is changed, if the venue has a floor. A booking without an area is
-- counted in the first one. Fails if the area lacks them.
CREATE FUNCTION settle_area(
    venue uuid, in_area text, since timestamptz, until timestamptz, party_size integer, forced boolean, tables text[])
RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    f floors;
    a areas;
    is_settled boolean;
BEGIN
    SELECT * INTO f FROM floors WHERE venue_id = venue;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO a
    FROM areas o
    WHERE o.venue_id = venue AND (in_area IS NULL OR o.area = in_area)
    ORDER BY o.rank
    LIMIT 1;
    -- The area was removed meanwhile: nothing is taken there.
    IF NOT FOUND THEN
        is_settled := party_size <= 0;
    -- A table was removed meanwhile.
    ELSIF party_size > 0 AND bit_count(bits_of_tables(a, tables)::bit(64)) < COALESCE(cardinality(tables), 0) THEN
        is_settled := false;
    ELSE
        is_settled := occupy(f, a, since, until, party_size, forced, bits_of_tables(a, tables));
    END IF;
    IF NOT is_settled THEN
        RAISE EXCEPTION 'the area lacks the seats' USING ERRCODE = 'check_violation', CONSTRAINT = 'area_not_oversold';
    END IF;
END
$$;

-- A floor, its areas in order, and their days from a time on until another, as JSON; NULL for a venue without a floor.
-- `FloorState` reads it.
CREATE FUNCTION floor_state(venue uuid, since timestamptz, until timestamptz) RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT to_jsonb(f) || jsonb_build_object(
    'areas', (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.rank) FROM areas a WHERE a.venue_id = f.venue_id),
    'days', COALESCE((
        SELECT jsonb_agg(to_jsonb(d))
        FROM areas a
        JOIN area_days d ON d.venue_id = a.venue_id AND d.area = a.area
         AND d.day BETWEEN floor(first_tick(f, since) / (1440.0 / f.tick_minutes))
                       AND floor(last_tick(f, until) / (1440.0 / f.tick_minutes))
        WHERE a.venue_id = f.venue_id), '[]'))
FROM floors f
WHERE f.venue_id = venue
$$;

-- The largest party, as far as seats and tables are concerned, that an area can seat for a time: at least `party_size` if
-- that party fits, and less if it does not. Never below 0, although an area that was made smaller may have more guests than
-- seats.
CREATE FUNCTION open_seats(f floors, a areas, first integer, last integer, party_size integer) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    day_ticks CONSTANT integer := 1440 / f.tick_minutes;
    open integer;
    taken bigint;
    largest integer;
    fits boolean;
BEGIN
    SELECT GREATEST(0, COALESCE(min(LEAST(d.seats, a.seats) - t), a.seats, 32767))
    INTO open
    FROM area_days d
    CROSS JOIN LATERAL unnest(d.taken[GREATEST(first - d.day * day_ticks, 0) + 1 : last - d.day * day_ticks + 1]) AS t
    WHERE d.venue_id = a.venue_id AND d.area = a.area
      AND d.day BETWEEN floor(first::numeric / day_ticks) AND floor(last::numeric / day_ticks);
    IF a.table_sets = '{}' THEN
        RETURN open;
    END IF;
    taken := taken_tables(f, a, first, last);
    SELECT COALESCE(max(s.max_party_size), 0),
           COALESCE(bool_or(party_size BETWEEN s.min_party_size AND s.max_party_size), false)
    INTO largest, fits
    FROM unnest(a.table_sets) AS s
    WHERE s.tables & taken = 0;
    RETURN LEAST(open, largest, CASE WHEN fits THEN open ELSE party_size - 1 END);
END
$$;

-- When a party would leave a slot of a venue with a floor, until when its seats are taken, and the most seats that an
-- area has open for all that time: of the area that was asked for, or of any. NULL if there is no such area.
CREATE FUNCTION sitting(
    slot slots, party_size integer, wanted text,
    OUT ends_at timestamptz, OUT occupied_until timestamptz, OUT open_seats integer)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    f floors;
BEGIN
    SELECT * INTO f FROM floors WHERE venue_id = slot.venue_id;
    ends_at := slot.starts_at + make_interval(mins => sitting_minutes(f.sittings, slot.start_time, party_size));
    occupied_until := ends_at + make_interval(mins => f.turn_minutes);
    SELECT max(open_seats(f, a, first_tick(f, slot.starts_at), last_tick(f, occupied_until), party_size))
    INTO open_seats
    FROM areas a
    WHERE a.venue_id = slot.venue_id AND (wanted = '' OR a.area = wanted);
END
$$;

-- When a party would leave a slot, and the open seats of each area for its visit, in order, as JSON.
CREATE FUNCTION open_areas(slot slots, party_size integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT jsonb_build_object(
    'ends_at', (SELECT s.ends_at FROM sitting(slot, party_size, '') AS s),
    'areas', (
        SELECT jsonb_agg(jsonb_build_array(a.area, s.open_seats) ORDER BY a.rank)
        FROM areas a
        CROSS JOIN LATERAL sitting(slot, party_size, a.area) AS s
        WHERE a.venue_id = slot.venue_id))
$$;

-- The largest party that an area of a floor can seat; NULL without a floor.
CREATE FUNCTION largest_area(venue uuid) RETURNS integer LANGUAGE sql STABLE AS $$
SELECT max(LEAST(COALESCE(a.seats, 32767), (SELECT max(s.max_party_size) FROM unnest(a.table_sets) AS s)))
FROM areas a
WHERE a.venue_id = venue
$$;

-- Whether some area has the seats for a party. `locked`: the areas that may change it are locked first, so that seats
-- which come free later are noted for a customer who joins the waitlist now.
CREATE FUNCTION has_room(slot slots, party_size integer, locked boolean) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF locked THEN
        PERFORM
        FROM area_days d, floors f
        WHERE f.venue_id = slot.venue_id AND d.venue_id = f.venue_id
          AND d.day BETWEEN floor(first_tick(f, slot.starts_at) / (1440.0 / f.tick_minutes))
                        AND floor(first_tick(f, slot.starts_at) / (1440.0 / f.tick_minutes)) + 2
        ORDER BY d.area, d.day
        FOR NO KEY UPDATE OF d;
    END IF;
    RETURN (SELECT s.open_seats >= party_size FROM sitting(slot, party_size, '') AS s);
END
$$;

-- Seats of an area that come free may be what entries of several slots wait for: those of the same and of the days
-- beside it. As note_waitlist_opening, it only adds notes; an offer that finds no seats removes them. An update changes
-- all its ticks in the same direction, so the first one that differs decides the comparison of the arrays.
CREATE FUNCTION note_area_opening() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT DISTINCT w.venue_id, w.slot_date, w.start_time, clock_timestamp()
    FROM floors f
    JOIN waitlist_entries w ON w.venue_id = f.venue_id AND w.status = 'WAITING' AND w.queue_number > 0
     AND w.slot_date BETWEEN (f.counts_from + make_interval(hours => 24 * NEW.day))::date - 1
                         AND (f.counts_from + make_interval(hours => 24 * NEW.day))::date + 2
    WHERE f.venue_id = NEW.venue_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER area_days_opening AFTER UPDATE OF taken, seats ON area_days
    FOR EACH ROW WHEN (NEW.seats > OLD.seats OR NEW.taken < OLD.taken) EXECUTE FUNCTION note_area_opening();
