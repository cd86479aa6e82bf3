SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", (
        SELECT pg_catalog.row_to_json(_4.*)
        FROM (
          SELECT _3."bio" AS "bio", (
            SELECT pg_catalog.row_to_json(_6.*)
            FROM (
              SELECT _5."name" AS "name"
              FROM "public"."users" AS _5
              WHERE (_5."id" OPERATOR(pg_catalog.=) _3."user_id")
            ) AS _6
          ) AS "user"
          FROM "public"."profiles" AS _3
          WHERE (_3."user_id" OPERATOR(pg_catalog.=) _1."id")
        ) AS _4
      ) AS "profiles"
      FROM "public"."users" AS _1
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "users"
) AS _0
