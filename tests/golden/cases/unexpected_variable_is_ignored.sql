SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT pg_catalog.row_to_json(_2.*)
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
      WHERE (_1."id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4")
    ) AS _2
  ) AS "tasks_by_pk"
) AS _0
-- $1 = Some("1")
