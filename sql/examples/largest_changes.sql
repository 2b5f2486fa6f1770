-- The largest changes, with a point inside each in the table's CRS. How many: SET VAR largest = 20
SELECT
  change_id, kind, year_first, year_last,
  round(area_m2 / 10000, 2) AS area_ha,
  round(score_max, 3) AS score_max,
  ST_X(inside) AS x,
  ST_Y(inside) AS y
FROM (
  SELECT *, ST_PointOnSurface(geometry) AS inside
  FROM change_polygons
  ORDER BY area_m2 DESC, change_id
  LIMIT session.largest
)
ORDER BY area_m2 DESC, change_id
