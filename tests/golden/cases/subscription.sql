SELECT pg_catalog.row_to_json(_0.*), CASE WHEN (NOT pg_catalog.pg_is_in_recovery()) THEN (pg_catalog.pg_current_snapshot())::"pg_catalog"."text" END
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
    ) AS _2
  ) AS "tasks"
) AS _0
