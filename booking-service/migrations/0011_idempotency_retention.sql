-- Keys by age, for the worker that removes the old ones.
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
