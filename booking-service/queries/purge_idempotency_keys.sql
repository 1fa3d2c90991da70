-- Removes up to 64 keys from before $1, the oldest first: so few that the planner goes by the index and does not
-- sort all old ones, however little it knows of the table.
WITH old AS MATERIALIZED (
    SELECT ctid AS place
    FROM idempotency_keys
    WHERE created_at < $1
    ORDER BY created_at
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
removed AS (
    DELETE FROM idempotency_keys k
    USING old
    WHERE k.ctid = old.place
    RETURNING 1
)
SELECT count(*) AS "removed!" FROM removed
