SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."name" AS "name", (
        SELECT pg_catalog.row_to_json(_4.*)
        FROM (
          SELECT _3."name" AS "name"
          FROM "public"."users" AS _3
          WHERE (_3."id" OPERATOR(pg_catalog.=) _1."manager_id")
        ) AS _4
      ) AS "manager", (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
        FROM (
          SELECT _5."title" AS "title", (
            SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_8.*)), '[]')
            FROM (
              SELECT _7."n" AS "n", _7."body" AS "body", (
                SELECT pg_catalog.row_to_json(_10.*)
                FROM (
                  SELECT _9."name" AS "name"
                  FROM "public"."users" AS _9
                  WHERE ((_9."tenant_id" OPERATOR(pg_catalog.=) _7."tenant_id") AND (_9."id" OPERATOR(pg_catalog.=) _7."author_id"))
                ) AS _10
              ) AS "author"
              FROM "public"."comments" AS _7
              WHERE ((_7."task_id" OPERATOR(pg_catalog.=) _5."id") AND (_7."body" OPERATOR(pg_catalog.<>) ($1)::"pg_catalog"."text"))
              ORDER BY _7."n" ASC
            ) AS _8
          ) AS "comments"
          FROM "public"."tasks" AS _5
          WHERE (_5."owner_id" OPERATOR(pg_catalog.=) _1."id")
          ORDER BY _5."id" DESC
          LIMIT 1
          OFFSET 0
        ) AS _6
      ) AS "tasks_by_owner_id"
      FROM "public"."users" AS _1
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "users"
) AS _0
-- $1 = Some("First")
