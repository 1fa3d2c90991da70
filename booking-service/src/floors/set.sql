-- SetFloor: see set_floor in 0017_set_floor.sql, and bookings_without_table in
-- 0026_mends_of_floors_and_windows.sql.
--
--   $1 the venue; $2 the version of its floor that was read, 0 for none; $3 the new floor; $4 where its ticks are counted
--   from; $5 the date at the venue; $6 now; $7 only check
SELECT outcome AS "outcome!", area, table_key, version, counted,
       CASE WHEN outcome = 'set' AND NOT $7 THEN bookings_without_table($1, $5, $6) END AS without_table
FROM set_floor($1, $2, $3, $4, $5, $6, $7)
