-- Keeps what was told of a charge ($1, at revision $2) and moves no money: its facts ($3), when it was made by them ($6),
-- and its name ($4) where that was not known, as a session does not name the charge and its intent does.
--
-- A row when it was kept; none when somebody else was faster.
UPDATE payments
SET facts = $3, charge_id = COALESCE(charge_id, $4), occurred_at = $6, revision = revision + 1, updated_at = $5
WHERE payment_id = $1 AND revision = $2
RETURNING payment_id
