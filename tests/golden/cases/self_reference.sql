SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."name" AS "name", (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_5.*)), '[]')
        FROM (
          SELECT _4."name" AS "name"
          FROM "public"."users" AS _4
          WHERE (_4."manager_id" OPERATOR(pg_catalog.=) _1."id")
        ) AS _5
      ) AS "users"
      FROM "public"."users" AS _1
      WHERE EXISTS (
        SELECT 1
        FROM "public"."users" AS _3
        WHERE ((_3."id" OPERATOR(pg_catalog.=) _1."manager_id") AND (_3."name" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."text"))
      )
      ORDER BY _1."name" DESC
    ) AS _2
  ) AS "users"
) AS _0
-- $1 = Some("Ada")
