-- Event checkpoints: up to $3 checkpoints after number $1 that another key than that of version $2 signed, in order.
SELECT number, digest, key_version, mac
FROM event_checkpoints
WHERE number > $1 AND key_version <> $2
ORDER BY number
LIMIT $3
