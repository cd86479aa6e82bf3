SELECT _1."name", _1."manager", _1."tasks_by_owner_id"
FROM (
  SELECT _0."name" AS "name", (
    SELECT ROW(_3."name")
    FROM (
      SELECT _2."name" AS "name"
      FROM "public"."users" AS _2
      WHERE (_2."id" OPERATOR(pg_catalog.=) _0."manager_id")
    ) AS _3
  ) AS "manager", ARRAY(
    SELECT ROW(_5."title", _5."comments")
    FROM (
      SELECT _4."title" AS "title", (
        SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_7.*)), '[]')
        FROM (
          SELECT _6."n" AS "n", _6."body" AS "body", (
            SELECT pg_catalog.row_to_json(_9.*)
            FROM (
              SELECT _8."name" AS "name"
              FROM "public"."users" AS _8
              WHERE ((_8."tenant_id" OPERATOR(pg_catalog.=) _6."tenant_id") AND (_8."id" OPERATOR(pg_catalog.=) _6."author_id"))
            ) AS _9
          ) AS "author"
          FROM "public"."comments" AS _6
          WHERE ((_6."task_id" OPERATOR(pg_catalog.=) _4."id") AND (_6."body" OPERATOR(pg_catalog.<>) ($1)::"pg_catalog"."text"))
          ORDER BY _6."n" ASC
        ) AS _7
      ) AS "comments"
      FROM "public"."tasks" AS _4
      WHERE (_4."owner_id" OPERATOR(pg_catalog.=) _0."id")
      ORDER BY _4."id" DESC
      LIMIT 1
      OFFSET 0
    ) AS _5
  ) AS "tasks_by_owner_id"
  FROM "public"."users" AS _0
  ORDER BY _0."id" ASC
) AS _1
-- $1 = Some("First")
