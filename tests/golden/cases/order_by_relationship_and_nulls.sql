SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", _1."due_on" AS "due_on", (
        SELECT pg_catalog.row_to_json(_5.*)
        FROM (
          SELECT _4."name" AS "name", (
            SELECT pg_catalog.row_to_json(_7.*)
            FROM (
              SELECT _6."name" AS "name"
              FROM "public"."users" AS _6
              WHERE (_6."id" OPERATOR(pg_catalog.=) _4."manager_id")
            ) AS _7
          ) AS "manager"
          FROM "public"."users" AS _4
          WHERE (_4."id" OPERATOR(pg_catalog.=) _1."reviewer_id")
        ) AS _5
      ) AS "reviewer"
      FROM "public"."tasks" AS _1
      ORDER BY (
        SELECT _3."name"
        FROM "public"."users" AS _3
        WHERE (_3."id" OPERATOR(pg_catalog.=) _1."reviewer_id")
      ) DESC NULLS LAST, _1."due_on" ASC NULLS FIRST, _1."id" ASC
    ) AS _2
  ) AS "tasks", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_9.*)), '[]')
    FROM (
      SELECT _8."id" AS "id"
      FROM "public"."tasks" AS _8
      ORDER BY (
        SELECT (
          SELECT _11."name"
          FROM "public"."users" AS _11
          WHERE (_11."id" OPERATOR(pg_catalog.=) _10."manager_id")
        )
        FROM "public"."users" AS _10
        WHERE (_10."id" OPERATOR(pg_catalog.=) _8."owner_id")
      ) ASC, _8."id" DESC
    ) AS _9
  ) AS "deep"
) AS _0
