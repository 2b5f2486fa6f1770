-- year_first <= year_mode <= year_last, all years of the run; or all three are null.
SELECT change_id, year_first, year_mode, year_last
FROM change_polygons
WHERE NOT coalesce(
  (year_first IS NULL AND year_mode IS NULL AND year_last IS NULL)
    OR (
      year_first <= year_mode AND year_mode <= year_last
        AND array_contains(session.years, year_first)
        AND array_contains(session.years, year_mode)
        AND array_contains(session.years, year_last)
    ),
  FALSE
)
