-- Event checkpoints: replaces the signatures of checkpoints $1, which were $2, by $3 of key version $4.
--
-- A checkpoint whose signature is another one by now is left as it is.
UPDATE event_checkpoints c
SET mac = signed.mac, key_version = $4
FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS signed (number, previous_mac, mac)
WHERE c.number = signed.number AND c.mac = signed.previous_mac
RETURNING c.number
