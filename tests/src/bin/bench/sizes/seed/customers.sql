-- $1 customers. What is sealed is of the usual length, but nobody opens it.
INSERT INTO customers (customer_id, email_hash, name_sealed, email_sealed, phone_sealed, created_at, updated_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, sha256(int8send(n)),
       decode(repeat('5a', 40), 'hex'), decode(repeat('5a', 70), 'hex'), decode(repeat('5a', 41), 'hex'), now(), now()
FROM generate_series(1, $1::bigint) AS n
