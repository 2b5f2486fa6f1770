-- polygon_parts: change_polygons cut into pieces of at most max_vertices vertices, for display. Many rows a polygon, numbered from 0 by part; the
-- pieces of one change_id cover it without overlap. ST_SubDivide returns nothing below 5 vertices.
SELECT
  change_id, part, kind, year_first, score_max, effect_mean, area_m2,
  named_struct(
    'xmin', ST_XMin(geometry), 'ymin', ST_YMin(geometry),
    'xmax', ST_XMax(geometry), 'ymax', ST_YMax(geometry)
  ) AS bbox,
  geometry
FROM (
  SELECT
    change_id, kind, year_first, score_max, effect_mean, area_m2,
    posexplode(ST_SubDivide(ST_SetSRID(geometry, session.target_srid), session.max_vertices)) AS (part, geometry)
  FROM change_polygons
)
