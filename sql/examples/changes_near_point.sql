-- Changes within radius_m metres of a point, nearest first; a point inside a polygon is at 0 m. Set the point first:
-- SET VAR lon = 13.4; SET VAR lat = 52.5; SET VAR radius_m = 1000
-- The nearest vertex or edge is sought in degrees, longitudes shrunk by the cosine of the latitude; its distance is then measured on the spheroid.
SELECT change_id, kind, year_first, area_m2, round(distance_m, 1) AS distance_m
FROM (
  SELECT
    *,
    ST_DistanceSpheroid(
      ST_Point(session.lon, session.lat),
      ST_Scale(ST_ClosestPoint(shrunk, ST_Point(session.lon * cos(radians(session.lat)), session.lat)), 1 / cos(radians(session.lat)), 1)
    ) AS distance_m
  FROM (
    SELECT
      *,
      ST_Scale(
        CASE
          WHEN session.target_crs = 'EPSG:4326' THEN geometry
          ELSE ST_Transform(geometry, session.target_crs, 'EPSG:4326')
        END,
        cos(radians(session.lat)), 1
      ) AS shrunk
    FROM change_polygons
  )
)
WHERE distance_m <= session.radius_m
ORDER BY distance_m, change_id
