CREATE TABLE venues (
    venue_id               uuid        PRIMARY KEY,
    name                   text        NOT NULL CONSTRAINT venue_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    -- The conversion fails for a name this server does not know, so no statement meets one later.
    time_zone              text        NOT NULL CONSTRAINT venue_time_zone_known
                                       CHECK (timestamptz 'epoch' AT TIME ZONE time_zone IS NOT NULL),
    currency               text        NOT NULL CONSTRAINT venue_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    min_party_size         integer     NOT NULL,
    max_party_size         integer     NOT NULL,
    notice_minutes         integer     NOT NULL CONSTRAINT venue_notice_range CHECK (notice_minutes BETWEEN 0 AND 43200),
    horizon_days           integer     NOT NULL CONSTRAINT venue_horizon_range CHECK (horizon_days BETWEEN 1 AND 730),
    hold_minutes           integer     NOT NULL CONSTRAINT venue_hold_range CHECK (hold_minutes BETWEEN 1 AND 43200),
    deposit_percent        integer     NOT NULL CONSTRAINT venue_deposit_range CHECK (deposit_percent BETWEEN 0 AND 100),
    full_refund_hours      integer     NOT NULL CONSTRAINT venue_refund_range CHECK (full_refund_hours BETWEEN 0 AND 8760),
    late_refund_percent    integer     NOT NULL CONSTRAINT venue_late_refund_range CHECK (late_refund_percent BETWEEN 0 AND 100),
    waitlist_hold_minutes  integer     NOT NULL CONSTRAINT venue_waitlist_hold_range CHECK (waitlist_hold_minutes BETWEEN 1 AND 43200),
    version                bigint      NOT NULL DEFAULT 1,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    CONSTRAINT venue_party_range CHECK (min_party_size >= 1 AND max_party_size BETWEEN min_party_size AND 50)
);

-- ListVenues: by creation, all of them or those of one name.
CREATE INDEX venues_created ON venues (created_at, venue_id);
CREATE INDEX venues_name ON venues (name, created_at, venue_id);
