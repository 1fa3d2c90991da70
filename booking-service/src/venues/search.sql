-- ListVenues with filters: the venues that match all of them, in order of creation, strictly after the cursor position.
--
--   $1, $2    the cursor position
--   $3        the most venues
--   $4 - $8   the filters: name, beginning of the name, place, tags, time zone; NULL: any
--   $9        the filter by whose index the venues are found; the others are compared
--
-- A page reads all venues that match the filter $9, and sorts those that match all filters. Without MATERIALIZED, the
-- planner could read the venues in order of creation instead, and compare each with rare filters.
WITH found AS MATERIALIZED (
    SELECT * FROM venues WHERE $9 = 'name' AND name = $4
    UNION ALL
    -- No character is above this one, so every text that begins with the given one is in the range.
    SELECT * FROM venues
    WHERE $9 = 'name_prefix' AND lower(name) COLLATE "C" >= lower($5::text) COLLATE "C"
      AND lower(name) COLLATE "C" < (lower($5) || chr(1114111)) COLLATE "C"
    UNION ALL
    SELECT * FROM venues WHERE $9 = 'place' AND lower(place) COLLATE "C" = lower($6::text) COLLATE "C"
    UNION ALL
    SELECT * FROM venues WHERE $9 = 'tags' AND tags @> $7::text[]
    UNION ALL
    SELECT * FROM venues WHERE $9 = 'time_zone' AND time_zone = $8
)
SELECT
    venue_id AS "venue_id!", name AS "name!", time_zone AS "time_zone!", currency AS "currency!",
    min_party_size AS "min_party_size!", max_party_size AS "max_party_size!", notice_minutes AS "notice_minutes!",
    horizon_days AS "horizon_days!", hold_minutes AS "hold_minutes!", deposit_percent AS "deposit_percent!",
    full_refund_hours AS "full_refund_hours!", late_refund_percent AS "late_refund_percent!",
    waitlist_hold_minutes AS "waitlist_hold_minutes!", undo_minutes AS "undo_minutes!",
    phone_region AS "phone_region!", tags AS "tags!",
    place AS "place!", reminder_minutes AS "reminder_minutes!",
    deposit_per_person_cents AS "deposit_per_person_cents!", deposit_fixed_cents AS "deposit_fixed_cents!",
    deposit_min_party_size AS "deposit_min_party_size!", minimum_spend_cents AS "minimum_spend_cents!",
    no_show_fee_per_person_cents AS "no_show_fee_per_person_cents!",
    version AS "version!", created_at AS "created_at!", updated_at AS "updated_at!"
FROM found
WHERE (created_at, venue_id) > ($1, $2)
  AND ($4::text IS NULL OR name = $4)
  AND ($5 IS NULL OR starts_with(lower(name), lower($5)))
  AND ($6 IS NULL OR lower(place) = lower($6))
  AND ($7 IS NULL OR tags @> $7)
  AND ($8::text IS NULL OR time_zone = $8)
ORDER BY created_at, venue_id
LIMIT $3
