-- Waiting for a part of a day; the columns are in 0011_columns.sql.

-- The live entry of a customer that overlaps a window, if there is one. Volatile: after the lock of the window's slots it
-- sees the entry of a concurrent call that locked one of them before.
CREATE FUNCTION waitlist_place(customer uuid, venue uuid, on_date date, since time, until time) RETURNS uuid
LANGUAGE sql VOLATILE AS $$
SELECT w.waitlist_entry_id
FROM waitlist_entries w
WHERE w.customer_id = customer AND w.venue_id = venue AND w.slot_date = on_date AND w.status IN ('WAITING', 'OFFERED')
  AND COALESCE(w.from_time, w.start_time) <= until AND COALESCE(w.until_time, w.start_time) >= since
LIMIT 1
$$;

-- As largest_area, of these areas; NULL: of all.
CREATE FUNCTION largest_area_in(venue uuid, wanted text[]) RETURNS integer LANGUAGE sql STABLE AS $$
SELECT max(LEAST(COALESCE(a.seats, 32767), (SELECT max(s.max_party_size) FROM unnest(a.table_sets) AS s)))
FROM areas a
WHERE a.venue_id = venue AND (wanted IS NULL OR a.area = ANY (wanted))
$$;

-- As has_room, in one of these areas; NULL: in any.
CREATE FUNCTION has_room_in(slot slots, party_size integer, wanted text[], locked boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF locked THEN
        PERFORM has_room(slot, party_size, true);
    END IF;
    RETURN EXISTS (
        SELECT FROM unnest(COALESCE(wanted, '{""}')) AS area, sitting(slot, party_size, area) AS s
        WHERE s.open_seats >= party_size);
END
$$;

-- The triggers of 0003, 0004 and 0015 also look at entries with a window that contains the slot.
CREATE OR REPLACE FUNCTION note_waitlist_opening() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT NEW.venue_id, NEW.slot_date, NEW.start_time, clock_timestamp()
    WHERE EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = NEW.venue_id AND w.slot_date = NEW.slot_date AND w.start_time = NEW.start_time
          AND w.status = 'WAITING' AND w.queue_number > 0)
    OR EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = NEW.venue_id AND w.slot_date = NEW.slot_date
          AND w.status = 'WAITING' AND w.until_time IS NOT NULL AND NEW.start_time BETWEEN w.from_time AND w.until_time);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION note_area_opening() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT DISTINCT s.venue_id, s.slot_date, s.start_time, clock_timestamp()
    FROM floors f
    JOIN waitlist_entries w ON w.venue_id = f.venue_id AND w.status = 'WAITING' AND w.queue_number > 0
     AND w.slot_date BETWEEN (f.counts_from + make_interval(hours => 24 * NEW.day))::date - 1
                         AND (f.counts_from + make_interval(hours => 24 * NEW.day))::date + 2
    CROSS JOIN LATERAL (
        SELECT s.venue_id, s.slot_date, s.start_time
        FROM slots s
        WHERE s.venue_id = w.venue_id AND s.slot_date = w.slot_date
          AND s.start_time BETWEEN COALESCE(w.from_time, w.start_time) AND COALESCE(w.until_time, w.start_time)
        LIMIT 1440
    ) AS s
    WHERE f.venue_id = NEW.venue_id;
    RETURN NULL;
END
$$;

-- A new floor may have the seats that entries with a window wait for; SetFloor itself notes only their first slots.
CREATE FUNCTION note_floor_review() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    venue CONSTANT uuid := COALESCE(NEW.venue_id, OLD.venue_id);
BEGIN
    INSERT INTO waitlist_reviews (venue_id)
    SELECT venue
    WHERE EXISTS (
        SELECT FROM waitlist_entries w WHERE w.venue_id = venue AND w.status = 'WAITING' AND w.queue_number > 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER floors_waitlist AFTER INSERT OR UPDATE OR DELETE ON floors
    FOR EACH ROW EXECUTE FUNCTION note_floor_review();

-- A slot that is added to a window may have the seats. One lookup for each venue of a statement that lays out slots.
CREATE FUNCTION note_openings_of_new_slots() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT DISTINCT a.venue_id, a.slot_date, a.start_time, clock_timestamp()
    FROM (SELECT DISTINCT venue_id FROM added) AS v
    CROSS JOIN LATERAL (
        SELECT w.slot_date, w.from_time, w.until_time
        FROM waitlist_entries w
        WHERE w.venue_id = v.venue_id AND w.status = 'WAITING' AND w.until_time IS NOT NULL
        LIMIT 10000
    ) AS w
    JOIN added a ON a.venue_id = v.venue_id AND a.slot_date = w.slot_date AND a.state = 'OPEN'
                AND a.start_time BETWEEN w.from_time AND w.until_time;
    RETURN NULL;
END
$$;

CREATE TRIGGER slots_added AFTER INSERT ON slots REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION note_openings_of_new_slots();

CREATE OR REPLACE FUNCTION leave_queue_of_booked_slot() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE waitlist_entries
    SET status = 'LEFT', details_sealed = NULL, updated_at = NEW.updated_at
    WHERE customer_id = NEW.customer_id AND venue_id = NEW.venue_id AND slot_date = NEW.slot_date
      AND NEW.start_time BETWEEN COALESCE(from_time, start_time) AND COALESCE(until_time, start_time)
      -- selects WAITING; written so that the index waitlist_entries_wait_once can be used
      AND status IN ('WAITING', 'OFFERED') AND offered_at IS NULL;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION leave_queues_of_new_bookings() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE waitlist_entries w
    SET status = 'LEFT', details_sealed = NULL, updated_at = (SELECT max(a.updated_at) FROM added a)
    WHERE w.waitlist_entry_id = ANY (ARRAY(
            SELECT e.waitlist_entry_id
            FROM added a
            CROSS JOIN LATERAL (
                SELECT e.waitlist_entry_id
                FROM waitlist_entries e
                WHERE e.customer_id = a.customer_id AND e.venue_id = a.venue_id AND e.slot_date = a.slot_date
                  AND a.start_time BETWEEN COALESCE(e.from_time, e.start_time) AND COALESCE(e.until_time, e.start_time)
                  AND e.status IN ('WAITING', 'OFFERED') AND e.offered_at IS NULL
                LIMIT 20
            ) AS e
            WHERE a.waitlist_entry_id IS NULL
            ORDER BY e.waitlist_entry_id))
      AND CASE WHEN w.offered_at IS NULL THEN w.status IN ('WAITING', 'OFFERED') ELSE false END;
    RETURN NULL;
END
$$;
