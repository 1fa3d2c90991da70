-- repair-projection: writes the rows that the events give into the table bookings_rebuilt.
--
-- Columns that no event contains are copied from the present row. The sealed details are left out: the swap does not
-- need them, and a leftover table must not keep personal data that was erased from bookings.
INSERT INTO bookings_rebuilt
SELECT rebuilt.*, ARRAY(SELECT jsonb_array_elements_text(derived -> 'differs'))
FROM jsonb_array_elements($1::jsonb) AS derived
CROSS JOIN LATERAL (
    SELECT b AS present FROM bookings b WHERE b.booking_id = (derived ->> 'booking_id')::uuid OFFSET 0
) AS found
CROSS JOIN LATERAL jsonb_populate_record(
    found.present, (derived -> 'columns') - 'source' || '{"details_sealed": null, "erased_at": "-infinity"}') AS rebuilt
-- the statement may be repeated after its connection was lost
ON CONFLICT (booking_id) DO NOTHING
