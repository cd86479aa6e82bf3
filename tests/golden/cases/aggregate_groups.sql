SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT pg_catalog.row_to_json(_2.*)
    FROM (
      SELECT (
        SELECT pg_catalog.row_to_json(_5.*)
        FROM (
          SELECT _3."a0" AS "count"
        ) AS _5
      ) AS "aggregate", (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
        FROM (
          SELECT (
            SELECT pg_catalog.row_to_json(_9.*)
            FROM (
              SELECT _7."a0" AS "status", _7."a1" AS "reviewer_id"
            ) AS _9
          ) AS "key", (
            SELECT pg_catalog.row_to_json(_10.*)
            FROM (
              SELECT _7."a2" AS "count", (
                SELECT pg_catalog.row_to_json(_11.*)
                FROM (
                  SELECT _7."a3" AS "title"
                ) AS _11
              ) AS "max", (
                SELECT pg_catalog.row_to_json(_12.*)
                FROM (
                  SELECT _7."a4" AS "points"
                ) AS _12
              ) AS "sum"
            ) AS _10
          ) AS "aggregate"
          FROM (
            SELECT _8."r0" AS "a0", _8."r1" AS "a1", pg_catalog.count(*) AS "a2", pg_catalog.max(_8."r2") AS "a3", pg_catalog.sum(_8."r3") AS "a4"
            FROM (
              SELECT _1."status" AS "r0", _1."reviewer_id" AS "r1", _1."title" AS "r2", _1."points" AS "r3"
              FROM "public"."tasks" AS _1
              WHERE (_1."id" OPERATOR(pg_catalog.>) ($1)::"pg_catalog"."int4")
            ) AS _8
            GROUP BY _8."r0", _8."r1"
          ) AS _7
          ORDER BY _7."a0" ASC, _7."a1" ASC
        ) AS _6
      ) AS "groups", (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_13.*)), '[]')
        FROM (
          SELECT (
            SELECT pg_catalog.row_to_json(_16.*)
            FROM (
              SELECT _14."a1" AS "count"
            ) AS _16
          ) AS "aggregate", 'tasks_aggregate_group' AS "__typename"
          FROM (
            SELECT _15."r0" AS "a0", pg_catalog.count(*) AS "a1"
            FROM (
              SELECT _1."owner_id" AS "r0"
              FROM "public"."tasks" AS _1
              WHERE (_1."id" OPERATOR(pg_catalog.>) ($1)::"pg_catalog"."int4")
            ) AS _15
            GROUP BY _15."r0"
          ) AS _14
          ORDER BY _14."a0" ASC
        ) AS _13
      ) AS "owners"
      FROM (
        SELECT pg_catalog.count(*) AS "a0"
        FROM (
          SELECT 1 AS "r0"
          FROM "public"."tasks" AS _1
          WHERE (_1."id" OPERATOR(pg_catalog.>) ($1)::"pg_catalog"."int4")
        ) AS _4
      ) AS _3
    ) AS _2
  ) AS "tasks_aggregate"
) AS _0
-- $1 = Some("0")
