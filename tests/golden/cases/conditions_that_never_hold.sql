SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
      WHERE ((_1."id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4") AND false)
    ) AS _2
  ) AS "none", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."id" AS "id"
      FROM "public"."tasks" AS _3
      WHERE ((_3."title" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."text") OR true)
      ORDER BY _3."id" ASC
    ) AS _4
  ) AS "all"
) AS _0
-- $1 = Some("1")
-- $2 = Some("x")
