SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "all", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."id" AS "id"
      FROM "public"."tasks" AS _3
      WHERE false
    ) AS _4
  ) AS "none", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."id" AS "id"
      FROM "public"."tasks" AS _5
      ORDER BY _5."id" ASC
    ) AS _6
  ) AS "every", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_8.*)), '[]')
    FROM (
      SELECT _7."id" AS "id"
      FROM "public"."tasks" AS _7
      WHERE false
    ) AS _8
  ) AS "neither"
) AS _0
