-- change_polygons: the published polygons of change, in the target CRS. One row a polygon, change_id unique; geometry valid, never EMPTY, a Polygon
-- or, where it has several parts, a MultiPolygon; shells counterclockwise (RFC 7946); bbox encloses it.
SELECT
  * EXCEPT (geometry),
  named_struct(
    'xmin', ST_XMin(geometry), 'ymin', ST_YMin(geometry),
    'xmax', ST_XMax(geometry), 'ymax', ST_YMax(geometry)
  ) AS bbox,
  ST_SetSRID(
    ST_ForcePolygonCCW(IF(ST_NumGeometries(geometry) = 1, ST_GeometryN(geometry, 0), geometry)),
    session.target_srid
  ) AS geometry
FROM placed_polygons
WHERE NOT ST_IsEmpty(geometry)
