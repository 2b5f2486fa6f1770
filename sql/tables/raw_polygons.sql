-- raw_polygons: merged_polygons with its integer sums turned into the columns people read. One row a polygon, none left out; geometry and
-- outline stay WKB in mosaic pixel coordinates (x = column, y = row). Ties go to the lowest kind code and the earliest year.
SELECT
  change_id,
  whole_id,
  zone,
  element_at(session.kinds, CAST(array_position(kind_counts, array_max(kind_counts)) AS INT)) AS kind,
  array_min(map_keys(year_pixels)) AS year_first,
  array_max(map_keys(year_pixels)) AS year_last,
  element_at(
    map_keys(year_pixels),
    CAST(array_position(map_values(year_pixels), array_max(map_values(year_pixels))) AS INT)
  ) AS year_mode,
  score_sum / n_scored / session.sum_units AS score_mean,
  score_max,
  effect_sum / n_scored / session.sum_units AS effect_mean,
  nullif(q_min, FLOAT('NaN')) AS q_min,
  n_pixels,
  area_mm2 / session.area_units_m2 AS area_m2,
  geometry,
  outline,
  simplified
FROM (
  SELECT
    *,
    map_filter(map_from_arrays(session.years, year_counts), (year, n) -> n > 0) AS year_pixels
  FROM merged_polygons
)
