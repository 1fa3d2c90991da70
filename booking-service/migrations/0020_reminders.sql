-- How long before a booking begins its guest is reminded, the longest first. Empty: never, as for the venues of the
-- version before, whose guests were not reminded either. CreateVenue sets its own default.
ALTER TABLE venues ADD COLUMN reminder_minutes integer[] NOT NULL DEFAULT '{}'
    CONSTRAINT venue_reminder_minutes CHECK (
        cardinality(reminder_minutes) <= 5 AND array_position(reminder_minutes, NULL) IS NULL
        AND 1 <= ALL (reminder_minutes) AND 20160 >= ALL (reminder_minutes));

-- When the guest said that the party comes. A move to another time clears it.
ALTER TABLE bookings ADD COLUMN guest_confirmed_at timestamptz;
