SELECT _1."order", _1."user"
FROM (
  SELECT _0."order" AS "order", _0."user" AS "user"
  FROM "public"."Select" AS _0
  WHERE (_0."user" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."text")
) AS _1
-- $1 = Some("z")
