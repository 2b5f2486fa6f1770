-- placed_polygons: simplified_polygons on the ground, in the target CRS, coordinates rounded, valid; EMPTY ones left out, and EMPTY where rounding
-- left no area. ST_ReducePrecision stops at invalid input, which the transform's own rounding may make of a ring that touches itself: mended first.
SELECT
  * EXCEPT (geometry),
  ST_CollectionExtract(IF(ST_IsValid(geometry), geometry, ST_MakeValid(geometry)), 3) AS geometry
FROM (
  SELECT
    * EXCEPT (geometry),
    ST_ReducePrecision(
      IF(ST_IsValid(geometry), geometry, ST_MakeValid(geometry)),
      session.precision_decimals
    ) AS geometry
  FROM (
    SELECT
      * EXCEPT (geometry),
      CASE
        WHEN session.source_crs = session.target_crs THEN geometry
        ELSE ST_Transform(geometry, session.source_crs, session.target_crs)
      END AS geometry
    FROM (
      SELECT
        * EXCEPT (geometry),
        ST_Affine(
          geometry,
          session.affine_a, session.affine_b, session.affine_d, session.affine_e,
          session.affine_c, session.affine_f
        ) AS geometry
      FROM simplified_polygons
      WHERE NOT ST_IsEmpty(geometry)
    )
  )
)
