-- repair-projection: rows as their events have them, put beside the table that is in force.
--
-- What events do not hold is the present row's. The special requests are left out: nothing takes them from
-- here, and a table that is left over must not keep what is erased from the other.
INSERT INTO bookings_rebuilt
SELECT rebuilt.*, ARRAY(SELECT jsonb_array_elements_text(derived -> 'differs'))
FROM jsonb_array_elements($1::jsonb) AS derived
CROSS JOIN LATERAL (
    SELECT b AS present FROM bookings b WHERE b.booking_id = (derived ->> 'booking_id')::uuid OFFSET 0
) AS found
CROSS JOIN LATERAL jsonb_populate_record(
    found.present, (derived -> 'columns') - 'source' || '{"special_requests_sealed": null}') AS rebuilt
-- the statement may be run again after its connection was lost
ON CONFLICT (booking_id) DO NOTHING
