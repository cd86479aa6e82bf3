SELECT _1."id", _1."profiles"
FROM (
  SELECT _0."id" AS "id", (
    SELECT ROW(_3."bio", _3."user")
    FROM (
      SELECT _2."bio" AS "bio", (
        SELECT ROW(_5."name")
        FROM (
          SELECT _4."name" AS "name"
          FROM "public"."users" AS _4
          WHERE (_4."id" OPERATOR(pg_catalog.=) _2."user_id")
        ) AS _5
      ) AS "user"
      FROM "public"."profiles" AS _2
      WHERE (_2."user_id" OPERATOR(pg_catalog.=) _0."id")
    ) AS _3
  ) AS "profiles"
  FROM "public"."users" AS _0
  ORDER BY _0."id" ASC
) AS _1
