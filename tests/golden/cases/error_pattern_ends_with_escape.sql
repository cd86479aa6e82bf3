SELECT _1."id"
FROM (
  SELECT _0."id" AS "id"
  FROM "public"."kinds" AS _0
  WHERE (_0."label" OPERATOR(pg_catalog.~~) ($1)::"pg_catalog"."text")
) AS _1
-- $1 = Some("%\\")
