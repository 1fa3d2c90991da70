CREATE TABLE venues (
    venue_id             uuid        PRIMARY KEY,
    name                 text        NOT NULL CONSTRAINT venue_name_length CHECK (length(name) BETWEEN 1 AND 100),
    time_zone            text        NOT NULL,
    currency             text        NOT NULL CONSTRAINT venue_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    min_party_size       integer     NOT NULL,
    max_party_size       integer     NOT NULL,
    notice_minutes       integer     NOT NULL CONSTRAINT venue_notice_range CHECK (notice_minutes BETWEEN 0 AND 525600),
    horizon_days         integer     NOT NULL CONSTRAINT venue_horizon_range CHECK (horizon_days BETWEEN 1 AND 365),
    hold_minutes         integer     NOT NULL CONSTRAINT venue_hold_range CHECK (hold_minutes BETWEEN 1 AND 10080),
    deposit_percent      integer     NOT NULL CONSTRAINT venue_deposit_range CHECK (deposit_percent BETWEEN 0 AND 100),
    full_refund_hours    integer     NOT NULL CONSTRAINT venue_refund_range CHECK (full_refund_hours BETWEEN 0 AND 8760),
    late_refund_percent  integer     NOT NULL CONSTRAINT venue_late_refund_range CHECK (late_refund_percent BETWEEN 0 AND 100),
    version              bigint      NOT NULL DEFAULT 1,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    CONSTRAINT venue_party_range CHECK (min_party_size >= 1 AND max_party_size BETWEEN min_party_size AND 50)
);
