-- One row for each time the mean of a conversation's last ten scores fell below 0.3: the message with
-- which it fell, and what the event of it says.
CREATE TABLE escalation_suggestions (
    conversation_id  text             COLLATE "C" NOT NULL REFERENCES conversations ON DELETE CASCADE,
    sequence         bigint           NOT NULL,
    event_id         uuid             NOT NULL CONSTRAINT escalation_suggestions_event UNIQUE,
    recent_mean      double precision NOT NULL CONSTRAINT escalation_suggestion_mean CHECK (recent_mean >= 0 AND recent_mean < 0.3),
    recent_count     integer          NOT NULL CONSTRAINT escalation_suggestion_count CHECK (recent_count BETWEEN 1 AND 10),
    occurred_at      timestamptz      NOT NULL,
    traceparent      text,
    PRIMARY KEY (conversation_id, sequence)
);
