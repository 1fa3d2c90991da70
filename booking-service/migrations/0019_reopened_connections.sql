-- As 0015: bookings have got new columns (0018), and the version before returns whole rows of them. Its connections are
-- closed once, so that none keeps a statement that it prepared before.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
  AND wait_event IS DISTINCT FROM 'advisory'
  AND EXISTS (SELECT FROM bookings);
