-- export-customer: the conversations that the customer's bookings and waitlist entries name, and whether no other
-- customer names them.
SELECT own.conversation_id AS "conversation_id!", own.conversation_id = ANY (exclusive.ids) AS "is_own!"
FROM (SELECT conversations_of_customer($1, NULL) AS ids) AS exclusive,
    (SELECT b.conversation_id FROM bookings b WHERE b.customer_id = $1
     UNION
     SELECT w.conversation_id FROM waitlist_entries w WHERE w.customer_id = $1) AS own
WHERE own.conversation_id <> ''
ORDER BY own.conversation_id
