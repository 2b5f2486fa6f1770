-- kind is one of the kinds, and zone numbers one of the area's zones.
SELECT change_id, kind, zone
FROM change_polygons
WHERE NOT coalesce(array_contains(session.kinds, kind) AND zone >= 0 AND zone < session.zone_count, FALSE)
