-- When to look next whether a user has been silent for long, one row a user. It is made when a
-- conversation first names the user; nothing else changes it but the look itself, so that storing a
-- message costs nothing more. `silent_since` is the silence a re-engagement was last scheduled for.
CREATE TABLE reengagement_checks (
    user_id       text        PRIMARY KEY,
    check_at      timestamptz NOT NULL,
    silent_since  timestamptz
);
CREATE INDEX reengagement_checks_due ON reengagement_checks (check_at);

-- The latest `sent_at` of the customer's own messages: what the assistant says, a follow-up above all,
-- does not end a silence. It changes with the row's counters and has no index either.
ALTER TABLE conversations ADD COLUMN customer_wrote_at timestamptz;

-- The conversations of a user, newest first: so many of them are looked at, and no more. Neither column
-- changes with a message.
CREATE INDEX conversations_newest_by_user ON conversations (user_id, created_at) WHERE user_id IS NOT NULL;

-- Users who were here before. Their turns are spread over 30 days by a hash, so that not everybody who has
-- been silent is written to on the first morning.
UPDATE conversations AS c
SET customer_wrote_at = wrote.at
FROM (SELECT conversation_id, max(sent_at) AS at FROM messages WHERE role = 'USER' GROUP BY 1) AS wrote
WHERE c.conversation_id = wrote.conversation_id;
INSERT INTO reengagement_checks (user_id, check_at)
SELECT user_id, now() + (hashtext(user_id)::bigint + 2147483648) / 4294967296.0 * interval '30 days'
FROM (SELECT DISTINCT user_id FROM conversations WHERE user_id IS NOT NULL) AS users;
