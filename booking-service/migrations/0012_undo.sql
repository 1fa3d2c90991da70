-- For how long a venue can take back a cancellation, a completion or a no-show.
ALTER TABLE venues
    ADD COLUMN undo_minutes integer NOT NULL DEFAULT 60
        CONSTRAINT venue_undo_range CHECK (undo_minutes BETWEEN 0 AND 43200);
