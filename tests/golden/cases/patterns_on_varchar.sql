SELECT _1."id", _1."label"
FROM (
  SELECT _0."id" AS "id", _0."label" AS "label"
  FROM "public"."kinds" AS _0
  WHERE ((_0."label" OPERATOR(pg_catalog.^@) ($1)::"pg_catalog"."text") AND (_0."label" OPERATOR(pg_catalog.!~~*) ($2)::"pg_catalog"."text") AND (_0."label" OPERATOR(pg_catalog.~) pg_catalog.similar_to_escape(($3)::"pg_catalog"."text")) AND (_0."label" OPERATOR(pg_catalog.~) ($4)::"pg_catalog"."text") AND (_0."fixed" OPERATOR(pg_catalog.!~~) ($5)::"pg_catalog"."text"))
) AS _1
-- $1 = Some("la")
-- $2 = Some("x%")
-- $3 = Some("(la|be)%")
-- $4 = Some("^l")
-- $5 = Some("b%")
