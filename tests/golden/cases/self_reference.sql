SELECT _2."name", _2."users"
FROM (
  SELECT _0."name" AS "name", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."name" AS "name"
      FROM "public"."users" AS _3
      WHERE (_3."manager_id" OPERATOR(pg_catalog.=) _0."id")
    ) AS _4
  ) AS "users"
  FROM "public"."users" AS _0
  WHERE EXISTS (
    SELECT 1
    FROM "public"."users" AS _1
    WHERE ((_1."id" OPERATOR(pg_catalog.=) _0."manager_id") AND (_1."name" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."text"))
  )
  ORDER BY _0."name" DESC
) AS _2
-- $1 = Some("Ada")
