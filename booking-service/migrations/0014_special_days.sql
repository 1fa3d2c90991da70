-- Special days of a venue, in the order in which they were set.
--
-- They are a column of the schedule, because whatever lays out slots needs the schedule and the special days of one
-- moment. A worker that claims a schedule reads its latest committed version; rows of another table would be those of
-- its older snapshot.
ALTER TABLE weekly_schedules
    ADD COLUMN special_days jsonb NOT NULL DEFAULT '[]';

ALTER TABLE weekly_schedules
    ADD CONSTRAINT weekly_schedule_special_days
        CHECK (jsonb_typeof(special_days) = 'array' AND jsonb_array_length(special_days) <= 500) NOT VALID;
