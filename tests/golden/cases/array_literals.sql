SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."kinds" AS _1
      WHERE ((_1."words" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."_text") AND (_1."numbers" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."_int4"))
    ) AS _2
  ) AS "kinds", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."id" AS "id"
      FROM "public"."kinds" AS _3
      WHERE (_3."numbers" OPERATOR(pg_catalog.<>) ($3)::"pg_catalog"."_int4")
      ORDER BY _3."id" ASC
    ) AS _4
  ) AS "two"
) AS _0
-- $1 = Some("{\"a b\",\"c\\\"d\"}")
-- $2 = Some("{\"1\",\"2\",NULL}")
-- $3 = Some("{{\"1\",\"2\"},{\"3\",\"4\"}}")
