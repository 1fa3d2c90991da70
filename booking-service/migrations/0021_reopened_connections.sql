-- As 0015, after bookings got columns again: statements of a running replica that return whole rows of bookings would
-- fail on the connections that prepared them before. They are closed once; a call that runs at this moment is
-- answered with UNAVAILABLE, and can be repeated.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
  AND wait_event IS DISTINCT FROM 'advisory'
  AND EXISTS (SELECT FROM bookings);
