-- params: the session variables the SQL of this folder reads, as session.<name>. A run sets them from its run file; the defaults serve by hand:
-- a mosaic in EPSG:4326 with pixels of 0.0001 degrees (about 11 m), upper left corner at 13 E 53 N, years 2017 to 2025.
--
-- By hand, from the repository root, with Sedona's jars as conf/spark-defaults.conf names them:
--   spark-sql … -i sql/params.sql -i views.sql -f sql/tables/valid_polygons.sql
-- views.sql is yours: it changes defaults and makes the view that the file reads, for example
--   SET VAR simplify_pixels = 1.5;
--   CREATE TEMPORARY VIEW raw_polygons AS SELECT * FROM parquet.`results/demo/runs/RUN/tables/raw_polygons`;
--   CREATE TEMPORARY VIEW change_polygons AS SELECT * FROM geoparquet.`results/demo/runs/RUN/tables/change_polygons`;
-- A table in the middle reads the view before it: CREATE TEMPORARY VIEW valid_polygons AS, then the text of sql/tables/valid_polygons.sql.

-- What the arrays of merged_polygons count: year_counts one entry a year, kind_counts one entry a kind.
DECLARE OR REPLACE VARIABLE years ARRAY<INT> DEFAULT array(2017, 2018, 2019, 2020, 2021, 2022, 2023, 2024, 2025);
DECLARE OR REPLACE VARIABLE kinds ARRAY<STRING> DEFAULT array('none', 'step', 'ramp', 'blip', 'unconfirmed');
-- Units of the integer sums: score_sum and effect_sum are whole 2^-20, area_mm2 whole square millimetres.
DECLARE OR REPLACE VARIABLE sum_units BIGINT DEFAULT 1048576;
DECLARE OR REPLACE VARIABLE area_units_m2 BIGINT DEFAULT 1000000;
-- Zones of the area of interest, numbered from 0.
DECLARE OR REPLACE VARIABLE zone_count INT DEFAULT 1;

-- Tolerance of the simplification in pixels of the mosaic; 0 removes collinear vertices only.
DECLARE OR REPLACE VARIABLE simplify_pixels DOUBLE DEFAULT 0.75;
-- Mosaic pixels to CRS units, named as rasterio does: x = a col + b row + c; y = d col + e row + f.
DECLARE OR REPLACE VARIABLE affine_a DOUBLE DEFAULT 0.0001;
DECLARE OR REPLACE VARIABLE affine_b DOUBLE DEFAULT 0.0;
DECLARE OR REPLACE VARIABLE affine_c DOUBLE DEFAULT 13.0;
DECLARE OR REPLACE VARIABLE affine_d DOUBLE DEFAULT 0.0;
DECLARE OR REPLACE VARIABLE affine_e DOUBLE DEFAULT -0.0001;
DECLARE OR REPLACE VARIABLE affine_f DOUBLE DEFAULT 53.0;
-- CRS of the mosaic and of the tables: EPSG:<code>, or WKT 1 where a mosaic has no code. Equal texts mean no transform.
DECLARE OR REPLACE VARIABLE source_crs STRING DEFAULT 'EPSG:4326';
DECLARE OR REPLACE VARIABLE target_crs STRING DEFAULT 'EPSG:4326';
DECLARE OR REPLACE VARIABLE target_srid INT DEFAULT 4326;
-- Decimals kept of a coordinate, in units of the target CRS.
DECLARE OR REPLACE VARIABLE precision_decimals INT DEFAULT 7;
-- Most vertices of one row of polygon_parts; at least 5.
DECLARE OR REPLACE VARIABLE max_vertices INT DEFAULT 256;

-- Checks: largest relative difference between area_m2 and the spheroidal area of the traced outline, and between a polygon and its parts.
DECLARE OR REPLACE VARIABLE area_tolerance DOUBLE DEFAULT 0.01;
DECLARE OR REPLACE VARIABLE parts_tolerance DOUBLE DEFAULT 1e-6;

-- Examples: a point in degrees (EPSG:4326), a distance in metres, a number of rows.
DECLARE OR REPLACE VARIABLE lon DOUBLE DEFAULT 13.4;
DECLARE OR REPLACE VARIABLE lat DOUBLE DEFAULT 52.5;
DECLARE OR REPLACE VARIABLE radius_m DOUBLE DEFAULT 1000.0;
DECLARE OR REPLACE VARIABLE largest INT DEFAULT 20;
