SELECT _1."id"
FROM (
  SELECT _0."id" AS "id"
  FROM "public"."tasks" AS _0
  WHERE (_0."id" OPERATOR(pg_catalog.>) ($1)::"pg_catalog"."int4")
  ORDER BY _0."id" ASC
  LIMIT 1
) AS _1
-- $1 = Some("1")
