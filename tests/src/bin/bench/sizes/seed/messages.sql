-- $conversations conversations with 20 messages each, as the service's own statements leave them. What is sealed is of
-- the usual length, but nobody opens it.
INSERT INTO conversations (conversation_id, channel, message_count, newest_scored_sequence, last_message_at,
    customer_wrote_at, created_at, updated_at)
SELECT 'chat-size-' || lpad(n::text, 27, '0'), 'WEB', 20, 19, now(), now(), now(), now()
FROM generate_series(1, $conversations) AS n
--;
INSERT INTO messages (message_id, conversation_id, sequence, role, channel, content_sealed, emotion_score, sent_at,
    stored_at, fingerprint)
SELECT lpad(to_hex(n::bigint * 20 + s), 32, '0')::uuid, 'chat-size-' || lpad(n::text, 27, '0'), s,
       CASE s % 2 WHEN 1 THEN 'USER' ELSE 'ASSISTANT' END, 'WEB', decode(repeat('5a', 185), 'hex'),
       CASE s % 2 WHEN 1 THEN 0.7 END, now(), now(), sha256('')
FROM generate_series(1, $conversations) AS n, generate_series(1, 20) AS s
