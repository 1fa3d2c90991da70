-- Search of venues: by tags, by place, by time zone and by the beginning of the name.

ALTER TABLE venues
    ADD COLUMN tags  text[] NOT NULL DEFAULT '{}',
    -- A city or another place, as text; empty if none is given.
    ADD COLUMN place text   NOT NULL DEFAULT '';

ALTER TABLE venues
    ADD CONSTRAINT venue_tags_count CHECK (cardinality(tags) <= 20) NOT VALID,
    ADD CONSTRAINT venue_place_length CHECK (char_length(place) <= 100) NOT VALID;

-- Beginnings of names are ranges of bytes, so the index compares bytes. It needs no extension.
CREATE INDEX venues_name_prefix ON venues ((lower(name) COLLATE "C"));
CREATE INDEX venues_place ON venues ((lower(place) COLLATE "C"));
CREATE INDEX venues_tags ON venues USING gin (tags);
CREATE INDEX venues_time_zone ON venues (time_zone);
