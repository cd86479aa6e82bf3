SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
      WHERE (EXISTS (
        SELECT 1
        FROM "public"."users" AS _3
        WHERE ((_3."id" OPERATOR(pg_catalog.=) _1."owner_id") AND (_3."name" OPERATOR(pg_catalog.=) ANY (($1)::"pg_catalog"."text"[])))
      ) AND EXISTS (
        SELECT 1
        FROM "public"."comments" AS _4
        WHERE ((_4."task_id" OPERATOR(pg_catalog.=) _1."id") AND (_4."author_id" IS NOT NULL))
      ))
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "tasks", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."id" AS "id"
      FROM "public"."users" AS _5
      WHERE (NOT EXISTS (
        SELECT 1
        FROM "public"."tasks" AS _7
        WHERE (_7."reviewer_id" OPERATOR(pg_catalog.=) _5."id")
      ))
      ORDER BY _5."id" ASC
    ) AS _6
  ) AS "users"
) AS _0
-- $1 = Some("{\"Ada\",\"Grace\"}")
