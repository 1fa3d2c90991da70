-- When to look next whether a user has been silent for long, one row a user. It is made when a
-- conversation first names the user; nothing else changes it but the look itself, so that storing a
-- message costs nothing more. `silent_since` is the silence a re-engagement was last scheduled for.
CREATE TABLE reengagement_checks (
    user_id       text        PRIMARY KEY,
    check_at      timestamptz NOT NULL,
    silent_since  timestamptz
);
CREATE INDEX reengagement_checks_due ON reengagement_checks (check_at);

-- Users who were here before.
INSERT INTO reengagement_checks (user_id, check_at)
SELECT DISTINCT user_id, now() FROM conversations WHERE user_id IS NOT NULL;
