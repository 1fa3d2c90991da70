-- In a transaction of its own: it reads the table under a lock that no other statement waits for.
ALTER TABLE follow_ups VALIDATE CONSTRAINT follow_up_trigger;
ALTER TABLE follow_ups VALIDATE CONSTRAINT follow_up_subject_form;
ALTER TABLE follow_ups VALIDATE CONSTRAINT follow_up_reminder;
