SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."order" AS "order", _1."user" AS "user", 'Select' AS "__typename"
      FROM "public"."Select" AS _1
      WHERE (_1."user" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."text")
    ) AS _2
  ) AS "Select"
) AS _0
-- $1 = Some("z")
