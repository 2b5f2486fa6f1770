-- bbox is exactly the geometry's bounding box.
SELECT change_id, in_table, bbox
FROM (
  SELECT change_id, 'change_polygons' AS in_table, bbox, geometry FROM change_polygons
  UNION ALL
  SELECT change_id, 'polygon_parts' AS in_table, bbox, geometry FROM polygon_parts
)
WHERE NOT coalesce(
  bbox.xmin = ST_XMin(geometry) AND bbox.ymin = ST_YMin(geometry)
    AND bbox.xmax = ST_XMax(geometry) AND bbox.ymax = ST_YMax(geometry),
  FALSE
)
