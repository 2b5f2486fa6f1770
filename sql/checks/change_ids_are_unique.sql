-- A change_id names one row of raw_polygons and at most one of change_polygons.
SELECT change_id, in_table, count(*) AS n_rows
FROM (
  SELECT change_id, 'raw_polygons' AS in_table FROM raw_polygons
  UNION ALL
  SELECT change_id, 'change_polygons' AS in_table FROM change_polygons
)
GROUP BY change_id, in_table
HAVING count(*) > 1
