-- ExportCustomer: at most $4 changes of the consents of a customer, and of those merged into it, after the customer $2 and
-- the version $3, by customer and version.
SELECT
    h.customer_id, h.version, h.purpose AS "purpose: _", h.channel AS "channel: _", h.granted, h.source, h.changed_at,
    h.changed_by
FROM customer_consent_changes h
WHERE h.customer_id = ANY (ARRAY(SELECT $1::uuid UNION ALL SELECT m.customer_id FROM customers m WHERE m.merged_into = $1))
  AND (h.customer_id, h.version) > ($2::uuid, $3)
ORDER BY h.customer_id, h.version
LIMIT $4
