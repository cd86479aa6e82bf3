SELECT _1."id"
FROM (
  SELECT _0."id" AS "id"
  FROM "public"."kinds" AS _0
  WHERE ((_0."docb" OPERATOR(pg_catalog.@>) ($1)::"pg_catalog"."jsonb") OR (_0."docb" OPERATOR(pg_catalog.<@) ($2)::"pg_catalog"."jsonb"))
  ORDER BY _0."id" ASC
) AS _1
-- $1 = Some("{\"a\":2}")
-- $2 = Some("[\"it's\",{\"b\":{\"x\": [1.50]}},null,{\"y\":1.0},\"RED\"]")
