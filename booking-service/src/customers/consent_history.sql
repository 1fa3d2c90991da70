-- ExportCustomer: at most $3 changes of the consents of a customer after the version $2, the oldest first.
SELECT h.version, h.purpose AS "purpose: _", h.channel AS "channel: _", h.granted, h.source, h.changed_at, h.changed_by
FROM customer_consent_changes h
WHERE h.customer_id = $1 AND h.version > $2
ORDER BY h.version
LIMIT $3
