-- EraseCustomer, and the retention of customers: see erase_customer in 0008_customer_events.sql.
SELECT outcome AS "outcome!", erased AS "erased_at?", bookings AS "bookings!", conversation_ids, merged AS "merged_into?"
FROM erase_customer($1, $2, $3, $4, $5, $6)
