-- MergeCustomers: one step; see merge_customers in 0010_customer_merges.sql.
SELECT outcome AS "outcome!" FROM merge_customers($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
