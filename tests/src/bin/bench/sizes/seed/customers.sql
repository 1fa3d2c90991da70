-- $1 customers. What is sealed is of the usual length, but nobody opens it.
INSERT INTO customers (customer_id, email_hash, phone_hash, contact_sealed, version, created_at, updated_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, sha256(int8send(n)), sha256(int8send(-n)),
       decode(repeat('5a', 140), 'hex'), 1, now(), now()
FROM generate_series(1, $1::bigint) AS n
