SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT pg_catalog.row_to_json(_2.*)
    FROM (
      SELECT (
        SELECT pg_catalog.row_to_json(_5.*)
        FROM (
          SELECT (
            SELECT pg_catalog.row_to_json(_6.*)
            FROM (
              SELECT _3."a0" AS "key"
            ) AS _6
          ) AS "max", (
            SELECT pg_catalog.row_to_json(_7.*)
            FROM (
              SELECT _3."a1" AS "key", _3."a2" AS "tenant_id"
            ) AS _7
          ) AS "min"
        ) AS _5
      ) AS "aggregate"
      FROM (
        SELECT pg_catalog.max(((_4."r0")::"pg_catalog"."text" COLLATE pg_catalog."C")) AS "a0", pg_catalog.min(((_4."r0")::"pg_catalog"."text" COLLATE pg_catalog."C")) AS "a1", pg_catalog.min(((_4."r1")::"pg_catalog"."text" COLLATE pg_catalog."C")) AS "a2"
        FROM (
          SELECT _1."key" AS "r0", _1."tenant_id" AS "r1"
          FROM "public"."kinds" AS _1
        ) AS _4
      ) AS _3
    ) AS _2
  ) AS "kinds_aggregate", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_9.*)), '[]')
    FROM (
      SELECT _8."name" AS "name"
      FROM "public"."tenants" AS _8
      ORDER BY (
        SELECT pg_catalog.max(((_10."tenant_id")::"pg_catalog"."text" COLLATE pg_catalog."C"))
        FROM "public"."users" AS _10
        WHERE (_10."tenant_id" OPERATOR(pg_catalog.=) _8."id")
      ) DESC
    ) AS _9
  ) AS "tenants"
) AS _0
