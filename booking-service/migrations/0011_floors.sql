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

CREATE TABLE areas (
    venue_id  uuid    NOT NULL REFERENCES floors,
    area      text    COLLATE "C" NOT NULL CONSTRAINT area_form
                      CHECK (area ~ '^[a-z0-9]' AND area !~ '[^a-z0-9-]' AND octet_length(area) <= 40),
    name      text    NOT NULL CONSTRAINT area_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    -- NULL: without a limit.
    seats     integer CONSTRAINT area_seats CHECK (seats BETWEEN 1 AND 10000),
    -- Bookings that name no area get the first area, in this order, that has the seats.
    rank      integer NOT NULL,
    PRIMARY KEY (venue_id, area),
    CONSTRAINT areas_rank_key UNIQUE (venue_id, rank) DEFERRABLE
);

-- The taken seats of an area, an element for each tick of a day. No row: none are taken. For the forms that were measured
-- see docs/decisions/0088-occupancy-is-an-array-a-day.md.
CREATE TABLE area_days (
    venue_id  uuid       NOT NULL,
    area      text       COLLATE "C" NOT NULL,
    day       integer    NOT NULL,
    -- The area's seats; more while more are taken, because the area was made smaller.
    seats     integer    NOT NULL,
    taken     smallint[] NOT NULL,
    PRIMARY KEY (venue_id, area, day),
    FOREIGN KEY (venue_id, area) REFERENCES areas,
    CONSTRAINT area_not_oversold CHECK (seats >= ALL (taken) AND 0 <= ALL (taken))
) WITH (fillfactor = 50);

-- The area in which a booking sits, and until when it takes the area's seats. NULL: it was made for a venue without a
-- floor. If the venue has one now, its seats are counted in the first area until its end.
ALTER TABLE bookings
    ADD COLUMN area text COLLATE "C",
    ADD COLUMN occupied_until timestamptz,
    -- Not validated: that would read the whole table, whose rows all have NULL here.
    ADD CONSTRAINT booking_area CHECK (area ~ '^[a-z0-9]' AND area !~ '[^a-z0-9-]') NOT VALID,
    ADD CONSTRAINT booking_occupied_until CHECK ((area IS NULL) = (occupied_until IS NULL)) NOT VALID;

-- Whether the venue has a floor. SetFloor locks all upcoming slots, and marks them when the venue gets or loses its
-- floor, before it counts their bookings. So a booking either is counted by it or sees another mark on the slot that it
-- has locked than its snapshot shows. Slots that are laid out later are not marked. A snapshot that shows one of them
-- also shows the floor of the venue, because both lock the venue.
ALTER TABLE venues ADD COLUMN has_floor boolean NOT NULL DEFAULT false;
ALTER TABLE slots ADD COLUMN has_floor boolean NOT NULL DEFAULT false;

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

-- Takes seats of an area for a time (`party_size` above 0), or frees them (below 0). False: the area lacks the seats in
-- some tick, and nothing was changed.
--
-- Each update looks at the latest committed version of its row, so seats are never taken twice. The caller has locked
-- the slot, so no SetFloor runs. `forced` takes seats that the area does not have.
CREATE FUNCTION occupy(
    f floors, in_area text, since timestamptz, until timestamptz, party_size integer, forced boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    day_ticks CONSTANT integer := 1440 / f.tick_minutes;
    first     CONSTANT integer := first_tick(f, since);
    last      CONSTANT integer := last_tick(f, until);
    first_day CONSTANT integer := floor(first::numeric / day_ticks);
    most      CONSTANT integer := (
        SELECT COALESCE(a.seats, 32767) FROM areas a WHERE a.venue_id = f.venue_id AND a.area = in_area);
    i integer;
    j integer;
BEGIN
    -- The area was removed meanwhile.
    IF most IS NULL THEN
        RETURN party_size <= 0;
    END IF;
    FOR d IN first_day .. floor(last::numeric / day_ticks)::integer LOOP
        i := GREATEST(first - d * day_ticks, 0) + 1;
        j := LEAST(last - d * day_ticks, day_ticks - 1) + 1;
        INSERT INTO area_days (venue_id, area, day, seats, taken)
        SELECT f.venue_id, in_area, d, most, array_fill(0::smallint, ARRAY[day_ticks])
        WHERE party_size > 0
          AND NOT EXISTS (SELECT FROM area_days o WHERE o.venue_id = f.venue_id AND o.area = in_area AND o.day = d)
        ON CONFLICT DO NOTHING;
        UPDATE area_days a
        SET taken[i:j] = ARRAY(SELECT GREATEST(t + party_size, 0) FROM unnest(a.taken[i:j]) AS t),
            seats = CASE WHEN forced THEN GREATEST(a.seats, party_size + (SELECT max(t) FROM unnest(a.taken[i:j]) AS t))
                         ELSE a.seats
                    END
        WHERE a.venue_id = f.venue_id AND a.area = in_area AND a.day = d
          AND (forced OR party_size <= 0 OR LEAST(a.seats, most) - party_size >= ALL (a.taken[i:j]));
        IF NOT FOUND AND party_size > 0 THEN
            -- The sitting began on the day before, which had the seats.
            IF d > first_day THEN
                PERFORM occupy(f, in_area, since, f.counts_from + make_interval(hours => 24 * d), -party_size, false);
            END IF;
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;

-- Takes the seats of a new booking: of the area that was asked for, or of the first one that has them. Returns the
-- area; NULL if none has the seats.
CREATE FUNCTION take_area(venue uuid, wanted text, since timestamptz, until timestamptz, party_size integer)
RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    f floors;
    candidate text;
BEGIN
    SELECT * INTO f FROM floors WHERE venue_id = venue;
    FOR candidate IN
        SELECT a.area FROM areas a WHERE a.venue_id = venue AND (wanted = '' OR a.area = wanted) ORDER BY a.rank
    LOOP
        IF occupy(f, candidate, since, until, party_size, false) THEN
            RETURN candidate;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- Takes or frees the seats of a booking that is changed, if the venue has a floor. A booking without an area is counted
-- in the first one. Fails if the area lacks the seats.
CREATE FUNCTION settle_area(
    venue uuid, in_area text, since timestamptz, until timestamptz, party_size integer, forced boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    f floors;
BEGIN
    SELECT * INTO f FROM floors WHERE venue_id = venue;
    IF FOUND AND NOT occupy(
        f, COALESCE(in_area, (SELECT a.area FROM areas a WHERE a.venue_id = venue ORDER BY a.rank LIMIT 1)),
        since, until, party_size, forced)
    THEN
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

-- When a party would leave a slot of a venue with a floor, until when its seats are taken, and the most seats that an
-- area has open for all that time: of the area that was asked for, or of any. NULL if there is no such area.
CREATE FUNCTION sitting(
    slot slots, party_size integer, wanted text,
    OUT ends_at timestamptz, OUT occupied_until timestamptz, OUT open_seats integer)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    f floors;
    day_ticks integer;
    first integer;
    last integer;
BEGIN
    SELECT * INTO f FROM floors WHERE venue_id = slot.venue_id;
    ends_at := slot.starts_at + make_interval(mins => sitting_minutes(f.sittings, slot.start_time, party_size));
    occupied_until := ends_at + make_interval(mins => f.turn_minutes);
    day_ticks := 1440 / f.tick_minutes;
    first := first_tick(f, slot.starts_at);
    last := last_tick(f, occupied_until);
    -- Never below 0, although an area that was made smaller may have more guests than seats.
    SELECT max(GREATEST(0, COALESCE((
        SELECT min(LEAST(d.seats, a.seats) - t)
        FROM area_days d
        CROSS JOIN LATERAL unnest(
            d.taken[GREATEST(first - d.day * day_ticks, 0) + 1 : last - d.day * day_ticks + 1]) AS t
        WHERE d.venue_id = a.venue_id AND d.area = a.area
          AND d.day BETWEEN floor(first::numeric / day_ticks) AND floor(last::numeric / day_ticks)
    ), a.seats, 32767)))
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

-- The seats of the largest area of a floor; NULL without a floor.
CREATE FUNCTION largest_area(venue uuid) RETURNS integer LANGUAGE sql STABLE AS $$
SELECT max(COALESCE(a.seats, 32767)) FROM areas a WHERE a.venue_id = venue
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

-- The data of the first event of a booking, with its area. The function without an area stays for older services.
CREATE FUNCTION booking_created(
    booking_id uuid, venue_id uuid, slot_date date, start_time time, status text, moment timestamptz, customer_id uuid,
    conversation_id text, confirmation_code text, starts_at timestamptz, ends_at timestamptz, time_zone text,
    party_size integer, price_per_person_cents bigint, total_cents bigint, deposit_cents bigint, currency text,
    hold_expires_at timestamptz, area text, occupied_until timestamptz) RETURNS json
LANGUAGE sql STABLE AS $$
SELECT json_build_object(
    'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date, 'start_time', left(start_time::text, 5),
    'booking_version', '1', 'status', 'BOOKING_STATUS_' || status, 'occurred_at', moment,
    'customer_id', customer_id, 'conversation_id', conversation_id, 'confirmation_code', confirmation_code,
    'starts_at', starts_at, 'ends_at', ends_at, 'time_zone', time_zone, 'party_size', party_size,
    'price_per_person_cents', price_per_person_cents::text, 'total_cents', total_cents::text,
    'deposit_cents', deposit_cents::text, 'currency', currency, 'hold_expires_at', hold_expires_at,
    'waitlist_entry_id', '', 'area', COALESCE(area, ''), 'occupied_until', occupied_until)
$$;

-- The taken seats of a venue's areas by the rows of its live bookings, from a date on: what `area_days` must hold.
CREATE FUNCTION area_counts(f floors, from_date date) RETURNS TABLE (area text, day integer, taken smallint[])
LANGUAGE sql STABLE AS $$
WITH seats AS (
    SELECT COALESCE(b.area, (SELECT a.area FROM areas a WHERE a.venue_id = f.venue_id ORDER BY a.rank LIMIT 1)) AS area,
           tick, sum(b.party_size) AS taken
    FROM bookings b
    CROSS JOIN LATERAL generate_series(
        first_tick(f, b.starts_at), last_tick(f, COALESCE(b.occupied_until, b.ends_at))) AS tick
    WHERE b.venue_id = f.venue_id AND b.slot_date >= from_date AND b.status IN ('PENDING', 'CONFIRMED')
    GROUP BY 1, 2
),
days AS (                          -- not of an area that was removed after the visits there
    SELECT s.area, floor(s.tick / (1440.0 / f.tick_minutes))::integer AS day
    FROM seats s
    JOIN areas a ON a.venue_id = f.venue_id AND a.area = s.area
    GROUP BY 1, 2
)
SELECT d.area, d.day, array_agg(COALESCE(s.taken, 0)::smallint ORDER BY tick)
FROM days d
CROSS JOIN LATERAL generate_series(d.day * 1440 / f.tick_minutes, (d.day + 1) * 1440 / f.tick_minutes - 1) AS tick
LEFT JOIN seats s USING (area, tick)
GROUP BY 1, 2
$$;

-- SetFloor, for a floor whose version is still `read_version` (0: none). `outcome`: set; contended; venue_not_found;
-- area_has_bookings, with the area. Nothing was written unless it is set; with `only_check` nothing is written.
--
-- A function, because the bookings must be counted by a snapshot that is taken after all upcoming slots are locked: a
-- booking that is created meanwhile is counted here or sees the new floor.
CREATE FUNCTION set_floor(
    venue uuid, read_version bigint, new_floor jsonb, counts_since timestamptz, today date, moment timestamptz,
    only_check boolean,
    OUT outcome text, OUT area text, OUT version bigint, OUT counted bigint)
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
        INSERT INTO areas (venue_id, area, name, seats, rank)
        SELECT venue, it ->> 'area', it ->> 'name', (it ->> 'seats')::integer, rank
        FROM jsonb_array_elements(new_floor -> 'areas') WITH ORDINALITY AS a (it, rank);
        INSERT INTO area_days (venue_id, area, day, seats, taken)
        SELECT venue, c.area, c.day, GREATEST(COALESCE(a.seats, 32767), (SELECT max(t) FROM unnest(c.taken) AS t)), c.taken
        FROM area_counts(f, today - 2) AS c
        JOIN areas a ON a.venue_id = venue AND a.area = c.area;
        counted := (
            SELECT count(*)
            FROM bookings b
            WHERE b.venue_id = venue AND b.slot_date >= today - 2 AND b.status IN ('PENDING', 'CONFIRMED')
              AND COALESCE(b.occupied_until, b.ends_at) > moment);
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
