SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", _1."title" AS "title", _1."status" AS "status", _1."points" AS "points", _1."estimate" AS "estimate", _1."due_on" AS "due_on", _1."created_at" AS "created_at"
      FROM "public"."tasks" AS _1
      WHERE (_1."status" OPERATOR(pg_catalog.<>) ($1)::"public"."task_status")
      ORDER BY _1."created_at" DESC
      LIMIT ($2)::"pg_catalog"."int8"
    ) AS _2
  ) AS "tasks"
) AS _0
-- $1 = Some("todo")
-- $2 = Some("2")
