-- valid_polygons: raw_polygons with the outline that is published as OGC-valid (Multi)Polygon, in mosaic pixel coordinates. One row a polygon; EMPTY where
-- nothing with an area was left. Only invalid ones are mended: ST_MakeValid rebuilds a valid polygon too, in minutes where it has many holes.
SELECT
  * EXCEPT (geometry),
  ST_CollectionExtract(IF(ST_IsValid(geometry), geometry, ST_MakeValid(geometry)), 3) AS geometry
FROM (
  SELECT
    * EXCEPT (geometry, outline),
    ST_GeomFromWKB(coalesce(outline, geometry)) AS geometry
  FROM raw_polygons
)
