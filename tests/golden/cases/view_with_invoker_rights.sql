SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", _1."title" AS "title"
      FROM "public"."open_tasks" AS _1
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "open_tasks"
) AS _0
