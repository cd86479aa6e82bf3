SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(_2."value"), '[]')
    FROM (
      SELECT DISTINCT ON (_1."status") ((('' OPERATOR(pg_catalog.||) '{') OPERATOR(pg_catalog.||) '}'))::"pg_catalog"."json" AS "value"
      FROM "public"."tasks" AS _1
      ORDER BY _1."status" ASC
    ) AS _2
  ) AS "tasks"
) AS _0
