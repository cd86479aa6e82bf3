SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", (
        SELECT pg_catalog.row_to_json(_5.*)
        FROM (
          SELECT _4."name" AS "name"
          FROM "public"."users" AS _4
          WHERE (_4."id" OPERATOR(pg_catalog.=) _1."owner_id")
        ) AS _5
      ) AS "owner"
      FROM "public"."tasks" AS _1
      WHERE ((_1."status" OPERATOR(pg_catalog.=) ($1)::"public"."task_status") OR ((_1."points" OPERATOR(pg_catalog.<) ($2)::"pg_catalog"."int4") AND (_1."estimate" IS NULL)))
      ORDER BY (
        SELECT _3."name"
        FROM "public"."users" AS _3
        WHERE (_3."id" OPERATOR(pg_catalog.=) _1."owner_id")
      ) DESC, _1."id" ASC
    ) AS _2
  ) AS "tasks"
) AS _0
-- $1 = Some("done")
-- $2 = Some("4")
