-- Statements of version 0.1.0 return whole rows of bookings, which have more columns now. PostgreSQL refuses to run such a
-- statement again on a connection that prepared it before, so the connections of running replicas are closed once. Their
-- next call opens another; a call that runs at this moment is answered with UNAVAILABLE, and can be repeated.
--
-- Not in the migration that adds the columns: connections that are opened before it is committed would be as old. A
-- replica that waits for this migration keeps its connection, and a new database has no other connections to close.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
  AND wait_event IS DISTINCT FROM 'advisory'
  AND EXISTS (SELECT FROM bookings);
