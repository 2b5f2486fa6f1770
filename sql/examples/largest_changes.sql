-- The largest changes, the pieces of a giant as one, with a point inside each in the table's CRS. How many: SET VAR largest = 20
SELECT
  change_id, kind, year_first, year_last,
  round(area_m2 / 10000, 2) AS area_ha,
  round(score_max, 3) AS score_max,
  ST_X(inside) AS x,
  ST_Y(inside) AS y
FROM (
  SELECT *, ST_PointOnSurface(largest_piece) AS inside
  FROM (
    SELECT
      whole_id AS change_id,
      any_value(kind) AS kind,
      any_value(year_first) AS year_first,
      any_value(year_last) AS year_last,
      any_value(score_max) AS score_max,
      sum(area_m2) AS area_m2,
      max_by(geometry, area_m2) AS largest_piece
    FROM change_polygons
    GROUP BY whole_id
  )
  ORDER BY area_m2 DESC, change_id
  LIMIT session.largest
)
ORDER BY area_m2 DESC, change_id
