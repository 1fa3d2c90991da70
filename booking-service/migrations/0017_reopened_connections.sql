-- Bookings have one more column: connections of running replicas are closed once more, for the reason that
-- 0015_reopened_connections.sql gives.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
  AND wait_event IS DISTINCT FROM 'advisory'
  AND EXISTS (SELECT FROM bookings);
