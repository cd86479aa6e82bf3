SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", _1."title" AS "title", (
        SELECT pg_catalog.row_to_json(_4.*)
        FROM (
          SELECT _3."name" AS "name"
          FROM "public"."users" AS _3
          WHERE (_3."id" OPERATOR(pg_catalog.=) _1."owner_id")
        ) AS _4
      ) AS "owner", (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
        FROM (
          SELECT _5."body" AS "body"
          FROM "public"."comments" AS _5
          WHERE (_5."task_id" OPERATOR(pg_catalog.=) _1."id")
        ) AS _6
      ) AS "comments"
      FROM "public"."tasks" AS _1
    ) AS _2
  ) AS "tasks", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_8.*)), '[]')
    FROM (
      SELECT _7."name" AS "name"
      FROM "public"."tenants" AS _7
    ) AS _8
  ) AS "tenants"
) AS _0
