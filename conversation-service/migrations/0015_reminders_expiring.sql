-- no-transaction
CREATE INDEX CONCURRENTLY follow_ups_expiring ON follow_ups (expires_at)
    WHERE status = 'PENDING' AND expires_at IS NOT NULL;
