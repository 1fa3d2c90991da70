-- Ids of conversations may have 1 to 200 of the characters of URIs (RFC 3986), so also addresses of channels, such as
-- whatsapp:+4930123456. Each row satisfied the narrower constraint, so NOT VALID skips a scan under the exclusive lock;
-- 0013 validates. The pattern has no bounded repetition, which would be slow.
ALTER TABLE conversations
    DROP CONSTRAINT conversation_id_form,
    ADD CONSTRAINT conversation_id_form CHECK (octet_length(conversation_id) BETWEEN 1 AND 200
        AND conversation_id !~ '[^]A-Za-z0-9._~:/?#[@!$&''()*+,;=%-]') NOT VALID;
ALTER TABLE follow_ups
    DROP CONSTRAINT follow_up_conversation_id_form,
    ADD CONSTRAINT follow_up_conversation_id_form CHECK (octet_length(conversation_id) BETWEEN 1 AND 200
        AND conversation_id !~ '[^]A-Za-z0-9._~:/?#[@!$&''()*+,;=%-]') NOT VALID;
