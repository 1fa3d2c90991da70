-- The weekly schedule slots are laid out from. A row is one run of slots on one weekday.
CREATE TABLE schedule_periods (
    venue_id                uuid    NOT NULL REFERENCES venues,
    weekday                 integer NOT NULL CONSTRAINT period_weekday CHECK (weekday BETWEEN 1 AND 7), -- ISO 8601: Monday is 1
    first_start             time    NOT NULL,
    last_start              time    NOT NULL,
    interval_minutes        integer NOT NULL CONSTRAINT period_interval CHECK (interval_minutes BETWEEN 5 AND 1440),
    duration_minutes        integer NOT NULL CONSTRAINT period_duration CHECK (duration_minutes BETWEEN 5 AND 1440),
    capacity                integer NOT NULL CONSTRAINT period_capacity CHECK (capacity BETWEEN 0 AND 100000),
    price_per_person_cents  bigint  NOT NULL CONSTRAINT period_price CHECK (price_per_person_cents BETWEEN 0 AND 1000000000),
    PRIMARY KEY (venue_id, weekday, first_start),
    CONSTRAINT period_order CHECK (last_start >= first_start)
);
