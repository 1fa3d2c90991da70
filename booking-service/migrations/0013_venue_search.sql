-- Search of venues: by tags, by place, by time zone and by the beginning of the name.

-- Beginnings of names are ranges of bytes, so the index compares bytes. It needs no extension.
CREATE INDEX venues_name_prefix ON venues ((lower(name) COLLATE "C"));
CREATE INDEX venues_place ON venues ((lower(place) COLLATE "C"));
CREATE INDEX venues_tags ON venues USING gin (tags);
CREATE INDEX venues_time_zone ON venues (time_zone);
