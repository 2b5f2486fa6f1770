-- Every published geometry is a valid (Multi)Polygon and not EMPTY.
SELECT change_id, in_table, ST_GeometryType(geometry) AS type, ST_IsValidReason(geometry) AS reason
FROM (
  SELECT change_id, 'change_polygons' AS in_table, geometry FROM change_polygons
  UNION ALL
  SELECT change_id, 'polygon_parts' AS in_table, geometry FROM polygon_parts
)
WHERE geometry IS NULL
  OR ST_IsEmpty(geometry)
  OR NOT ST_IsValid(geometry)
  OR ST_GeometryType(geometry) NOT IN ('ST_Polygon', 'ST_MultiPolygon')
