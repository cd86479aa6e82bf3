SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", _1."label" AS "label"
      FROM "public"."kinds" AS _1
      WHERE ((_1."label" OPERATOR(pg_catalog.^@) ($1)::"pg_catalog"."text") AND (_1."label" OPERATOR(pg_catalog.!~~*) ($2)::"pg_catalog"."text") AND (_1."label" OPERATOR(pg_catalog.~) pg_catalog.similar_to_escape(($3)::"pg_catalog"."text")) AND (_1."label" OPERATOR(pg_catalog.~) ($4)::"pg_catalog"."text") AND (_1."fixed" OPERATOR(pg_catalog.!~~) ($5)::"pg_catalog"."text"))
    ) AS _2
  ) AS "kinds"
) AS _0
-- $1 = Some("la")
-- $2 = Some("x%")
-- $3 = Some("(la|be)%")
-- $4 = Some("^l")
-- $5 = Some("b%")
