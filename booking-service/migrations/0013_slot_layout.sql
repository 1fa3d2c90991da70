-- How far a venue's slots are laid out, in local dates; NULL while it has none. It is on the venue's
-- row so that UpdateVenue, which may not move a venue with slots into another time zone, is told by
-- the very row it waited for that slots have come meanwhile.
ALTER TABLE venues ADD COLUMN laid_out_until date;

UPDATE venues v
SET laid_out_until = (SELECT max(slot_date) FROM slots s WHERE s.venue_id = v.venue_id);

-- The version of a schedule now tells also how often it was laid out further, so that a SetWeeklySchedule
-- that has not seen those slots looks again.
--
-- When days have to be laid out that are not yet: as soon as the next day begins at the venue. Also,
-- a little later than now, while a process is at it. The default is due: what the version before
-- writes is looked after at once.
ALTER TABLE weekly_schedules ADD COLUMN next_layout_at timestamptz NOT NULL DEFAULT 'epoch';

-- What is due, the oldest first.
CREATE INDEX weekly_schedules_due ON weekly_schedules (next_layout_at, venue_id);
