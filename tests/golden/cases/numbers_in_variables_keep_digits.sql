SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", _1."big" AS "big", _1."exact" AS "exact"
      FROM "public"."kinds" AS _1
      WHERE ((_1."big" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int8") AND (_1."exact" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."numeric"))
    ) AS _2
  ) AS "kinds"
) AS _0
-- $1 = Some("9223372036854775807")
-- $2 = Some("123456789012345678901234567890.12345678901234567890")
