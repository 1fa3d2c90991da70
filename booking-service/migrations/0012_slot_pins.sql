-- What UpdateSlot sets is pinned: it stays whatever schedules are set afterwards, each figure by
-- itself. That the venue closed a slot is its state, CLOSED; that it opened one needs a mark, because
-- otherwise the next schedule without that slot would close it again. The mark says nothing on a slot
-- that is not open, as the version before may leave one.
ALTER TABLE slots
    ADD COLUMN capacity_pinned  boolean NOT NULL DEFAULT false,
    ADD COLUMN price_pinned     boolean NOT NULL DEFAULT false,
    ADD COLUMN open_pinned      boolean NOT NULL DEFAULT false;
