-- simplified_polygons: valid_polygons with fewer vertices, in mosaic pixel coordinates; EMPTY ones left out. The simplifier depends on where a
-- ring starts and on collinear vertices: both are made canonical first, so that equal outlines stay equal. An outline that was simplified with those
-- that share its borders stays as it is: alone, it would part from them.
SELECT
  * EXCEPT (geometry, simplified),
  IF(
    simplified,
    geometry,
    ST_SimplifyPreserveTopology(
      ST_Normalize(ST_SimplifyPreserveTopology(ST_Normalize(geometry), 0)),
      session.simplify_pixels
    )
  ) AS geometry
FROM valid_polygons
WHERE NOT ST_IsEmpty(geometry)
