-- area_m2, summed from pixels, is above 0 and within area_tolerance of the spheroidal area of the outline before any simplification.
-- Ring by ring: ST_AreaSpheroid walks all rings of a polygon as one path, which is wrong from two holes on.
SELECT change_id, area_m2, outline_m2
FROM (
  SELECT
    change_id,
    area_m2,
    sum(IF(ST_IsPolygonCCW(ring), 1, -1) * ST_AreaSpheroid(ring)) AS outline_m2
  FROM (
    SELECT change_id, area_m2, ST_MakePolygon(line) AS ring
    FROM (
      SELECT change_id, area_m2, explode_outer(ST_Dump(ST_Boundary(ST_ForcePolygonCCW(outline)))) AS line
      FROM (
        SELECT
          change_id,
          area_m2,
          CASE
            WHEN session.source_crs = 'EPSG:4326' THEN outline
            ELSE ST_Transform(outline, session.source_crs, 'EPSG:4326')
          END AS outline
        FROM (
          SELECT
            change_id,
            area_m2,
            ST_Affine(
              ST_GeomFromWKB(geometry),
              session.affine_a, session.affine_b, session.affine_d, session.affine_e,
              session.affine_c, session.affine_f
            ) AS outline
          FROM raw_polygons
        )
      )
    )
  )
  GROUP BY change_id, area_m2
)
WHERE NOT coalesce(area_m2 > 0 AND abs(area_m2 - outline_m2) <= session.area_tolerance * outline_m2, FALSE)
