-- Every row of polygon_parts belongs to a row of change_polygons, and (change_id, part) is unique.
SELECT p.change_id, p.part, count(*) AS n_rows, max(c.change_id) AS parent
FROM polygon_parts AS p
LEFT JOIN change_polygons AS c ON c.change_id = p.change_id
GROUP BY p.change_id, p.part
HAVING count(*) > 1 OR max(c.change_id) IS NULL
