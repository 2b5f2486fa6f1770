-- What changed in each zone of the area of interest, zones without change included; the zones keep the attributes of their file.
SELECT
  z.* EXCEPT (geometry, bbox),
  coalesce(c.n_polygons, 0) AS n_polygons,
  coalesce(c.area_ha, 0) AS area_ha,
  c.year_first,
  c.year_last
FROM zones AS z
LEFT JOIN (
  SELECT
    zone,
    count(*) AS n_polygons,
    round(sum(area_m2) / 10000, 2) AS area_ha,
    min(year_first) AS year_first,
    max(year_last) AS year_last
  FROM change_polygons
  GROUP BY zone
) AS c ON c.zone = z.zone
ORDER BY z.zone
