SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
      WHERE ((_1."title" OPERATOR(pg_catalog.^@) ($1)::"pg_catalog"."text") OR ((_1."points" OPERATOR(pg_catalog.>=) ($2)::"pg_catalog"."int4") AND (NOT (_1."status" OPERATOR(pg_catalog.=) ($3)::"public"."task_status"))))
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "tasks"
) AS _0
-- $1 = Some("Read")
-- $2 = Some("5")
-- $3 = Some("done")
