-- Reminders: follow-ups with the trigger REMINDER, several for one event. The subject of each is that of the event's
-- follow-up, a colon, and the minutes before the event, so that the key of unfinished follow-ups also holds for them.
-- From `expires_at` on, which is the event's start, a reminder is not sent any more. `revision` is the version of the
-- event by which it was last scheduled: an older one changes nothing. The follow-up after the event has it too. Other
-- follow-ups have nulls, as have all rows of the version before.
--
-- Each row satisfies the constraints, so NOT VALID skips a scan under the exclusive lock; 0016 validates.
ALTER TABLE follow_ups
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN revision bigint,
    DROP CONSTRAINT follow_up_trigger,
    ADD CONSTRAINT follow_up_trigger
        CHECK (trigger IN ('POST_EVENT', 'REENGAGEMENT', 'EMOTION_BASED', 'CUSTOM', 'REMINDER')) NOT VALID,
    DROP CONSTRAINT follow_up_subject_form,
    ADD CONSTRAINT follow_up_subject_form CHECK (CASE WHEN trigger = 'REMINDER'
        THEN subject ~ '^[a-z_]+:[0-9a-f-]+:[1-9][0-9]*$' AND octet_length(subject) <= 84
        ELSE subject ~ '^([a-z][a-z_]{0,39}(:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?)?$' END) NOT VALID,
    ADD CONSTRAINT follow_up_reminder CHECK (CASE WHEN trigger = 'REMINDER'
        THEN expires_at IS NOT NULL AND revision IS NOT NULL
        ELSE expires_at IS NULL AND (revision IS NULL OR trigger = 'POST_EVENT') END) NOT VALID;

-- Statements of version 0.1.0 return whole rows of follow-ups. PostgreSQL refuses to run such a statement again on a
-- connection that prepared it before a column was added. So the connections of running replicas are closed, while this
-- transaction still has the table; see 0011_columns.sql of booking-service.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
  AND wait_event IS DISTINCT FROM 'advisory'
  AND EXISTS (SELECT FROM follow_ups);
