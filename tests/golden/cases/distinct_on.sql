SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT DISTINCT ON (_1."tenant_id", _1."status") _1."status" AS "status", _1."id" AS "id"
      FROM "public"."tasks" AS _1
      ORDER BY _1."status" ASC, _1."tenant_id" ASC, _1."id" DESC
    ) AS _2
  ) AS "tasks", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT DISTINCT ON (_3."status") _3."status" AS "status"
      FROM "public"."tasks" AS _3
    ) AS _4
  ) AS "any"
) AS _0
