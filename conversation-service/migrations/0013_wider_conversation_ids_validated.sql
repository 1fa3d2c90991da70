-- In a transaction of its own: it reads the tables under a lock that no other statement waits for.
ALTER TABLE conversations VALIDATE CONSTRAINT conversation_id_form;
ALTER TABLE follow_ups VALIDATE CONSTRAINT follow_up_conversation_id_form;
