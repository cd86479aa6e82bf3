SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT pg_catalog.row_to_json(_2.*)
    FROM (
      SELECT _1."id" AS "id", _1."title" AS "title", (
        SELECT pg_catalog.row_to_json(_4.*)
        FROM (
          SELECT _3."name" AS "name"
          FROM "public"."users" AS _3
          WHERE (_3."id" OPERATOR(pg_catalog.=) _1."owner_id")
        ) AS _4
      ) AS "owner"
      FROM "public"."tasks" AS _1
      WHERE (_1."id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4")
    ) AS _2
  ) AS "tasks_by_pk"
) AS _0
-- $1 = Some("1")
