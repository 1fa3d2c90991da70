-- What a venue's slots are laid out from. It is read and written as a whole, so it is kept as one.
CREATE TABLE weekly_schedules (
    venue_id    uuid        PRIMARY KEY REFERENCES venues,
    periods     jsonb       NOT NULL,
    exceptions  jsonb       NOT NULL,
    -- How often it was set. Whoever sets it tells which one was read, so that of two at once one is
    -- told to look again.
    version     bigint      NOT NULL CONSTRAINT weekly_schedule_version CHECK (version >= 1),
    updated_at  timestamptz NOT NULL
);
