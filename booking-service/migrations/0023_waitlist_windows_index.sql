-- no-transaction
CREATE INDEX CONCURRENTLY waitlist_entries_windows ON waitlist_entries (venue_id, slot_date, queue_number)
    WHERE status = 'WAITING' AND until_time IS NOT NULL;
