SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."kinds" AS _1
      WHERE (_1."label" OPERATOR(pg_catalog.~~) ($1)::"pg_catalog"."text")
    ) AS _2
  ) AS "kinds"
) AS _0
-- $1 = Some("%\\")
