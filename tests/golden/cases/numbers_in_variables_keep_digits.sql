SELECT _1."id", _1."big", _1."exact"
FROM (
  SELECT _0."id" AS "id", _0."big" AS "big", _0."exact" AS "exact"
  FROM "public"."kinds" AS _0
  WHERE ((_0."big" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int8") AND (_0."exact" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."numeric"))
) AS _1
-- $1 = Some("9223372036854775807")
-- $2 = Some("123456789012345678901234567890.12345678901234567890")
