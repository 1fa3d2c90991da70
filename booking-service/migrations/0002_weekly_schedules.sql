-- What a venue's slots are laid out from. It is read and written as a whole, so it is kept as one.
CREATE TABLE weekly_schedules (
    venue_id    uuid        PRIMARY KEY REFERENCES venues,
    periods     jsonb       NOT NULL,
    exceptions  jsonb       NOT NULL,
    updated_at  timestamptz NOT NULL
);
