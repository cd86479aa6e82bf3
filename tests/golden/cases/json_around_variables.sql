SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."kinds" AS _1
      WHERE ((_1."docb" OPERATOR(pg_catalog.@>) ($1)::"pg_catalog"."jsonb") OR (_1."docb" OPERATOR(pg_catalog.<@) ($2)::"pg_catalog"."jsonb"))
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "kinds"
) AS _0
-- $1 = Some("{\"a\":2}")
-- $2 = Some("[\"it's\",{\"b\":{\"x\": [1.50]}},null,{\"y\":1.0},\"RED\"]")
