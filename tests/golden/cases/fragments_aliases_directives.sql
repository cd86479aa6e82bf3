SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT pg_catalog.row_to_json(_2.*)
    FROM (
      SELECT 'tasks' AS "__typename", _1."id" AS "id", _1."title" AS "title", (
        SELECT pg_catalog.row_to_json(_4.*)
        FROM (
          SELECT _3."id" AS "id", _3."name" AS "name"
          FROM "public"."users" AS _3
          WHERE (_3."id" OPERATOR(pg_catalog.=) _1."owner_id")
        ) AS _4
      ) AS "owner", _1."due_on" AS "due"
      FROM "public"."tasks" AS _1
      WHERE (_1."id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4")
    ) AS _2
  ) AS "first", (
    SELECT pg_catalog.row_to_json(_6.*)
    FROM (
      SELECT 'tasks' AS "__typename", _5."id" AS "id", _5."title" AS "title", (
        SELECT pg_catalog.row_to_json(_8.*)
        FROM (
          SELECT _7."id" AS "id", _7."name" AS "name"
          FROM "public"."users" AS _7
          WHERE (_7."id" OPERATOR(pg_catalog.=) _5."owner_id")
        ) AS _8
      ) AS "owner"
      FROM "public"."tasks" AS _5
      WHERE (_5."id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4")
    ) AS _6
  ) AS "again"
) AS _0
-- $1 = Some("1")
