-- Polygons and hectares by the year in which most of a polygon changed, and by kind.
SELECT
  year_mode AS year,
  kind,
  count(*) AS n_polygons,
  round(sum(area_m2) / 10000, 2) AS area_ha
FROM change_polygons
GROUP BY year_mode, kind
ORDER BY year, kind
