-- Every list of conversations is read from one of these two, newest first: a list without a filter on
-- channel or status merges their few values (see queries/list_conversations.sql).
CREATE INDEX conversations_list ON conversations (channel, status, created_at, conversation_id);
CREATE INDEX conversations_list_by_user ON conversations (user_id, channel, status, created_at, conversation_id)
    WHERE user_id IS NOT NULL;
