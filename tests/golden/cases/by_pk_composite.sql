SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT pg_catalog.row_to_json(_2.*)
    FROM (
      SELECT _1."body" AS "body", (
        SELECT pg_catalog.row_to_json(_4.*)
        FROM (
          SELECT _3."title" AS "title"
          FROM "public"."tasks" AS _3
          WHERE (_3."id" OPERATOR(pg_catalog.=) _1."task_id")
        ) AS _4
      ) AS "task"
      FROM "public"."comments" AS _1
      WHERE ((_1."task_id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4") AND (_1."n" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."int4"))
    ) AS _2
  ) AS "comments_by_pk"
) AS _0
-- $1 = Some("1")
-- $2 = Some("2")
