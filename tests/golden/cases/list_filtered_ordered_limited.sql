SELECT _1."id", _1."title", pg_catalog.to_json(_1."status"), pg_catalog.to_json(_1."points"), _1."estimate", _1."due_on", pg_catalog.to_json(_1."created_at")
FROM (
  SELECT _0."id" AS "id", _0."title" AS "title", _0."status" AS "status", _0."points" AS "points", _0."estimate" AS "estimate", _0."due_on" AS "due_on", _0."created_at" AS "created_at"
  FROM "public"."tasks" AS _0
  WHERE (_0."status" OPERATOR(pg_catalog.<>) ($1)::"public"."task_status")
  ORDER BY _0."created_at" DESC
  LIMIT ($2)::"pg_catalog"."int8"
) AS _1
-- $1 = Some("todo")
-- $2 = Some("2")
