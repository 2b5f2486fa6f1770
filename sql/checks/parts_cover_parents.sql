-- The parts of a polygon have its area, within parts_tolerance, and no more than max_vertices vertices each.
SELECT c.change_id, ST_Area(c.geometry) AS area, p.area AS parts_area, p.most_vertices
FROM change_polygons AS c
LEFT JOIN (
  SELECT change_id, sum(ST_Area(geometry)) AS area, max(ST_NPoints(geometry)) AS most_vertices
  FROM polygon_parts
  GROUP BY change_id
) AS p ON p.change_id = c.change_id
WHERE NOT coalesce(
  abs(p.area - ST_Area(c.geometry)) <= session.parts_tolerance * ST_Area(c.geometry)
    AND p.most_vertices <= session.max_vertices,
  FALSE
)
