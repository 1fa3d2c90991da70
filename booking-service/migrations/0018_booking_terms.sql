-- The terms of a booking that is made now. `VenuePolicy::terms` has the same rule; a test compares the two. PostgreSQL
-- inlines the function.
CREATE FUNCTION venue_terms(venue venues) RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT jsonb_build_object(
    'full_refund_hours', (venue).full_refund_hours,
    'late_refund_percent', (venue).late_refund_percent,
    'deposit_percent', (venue).deposit_percent)
$$;
