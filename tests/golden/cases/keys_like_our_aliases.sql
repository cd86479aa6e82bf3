SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."title" AS "_0", _1."status" AS "_1", _1."id" AS "_2", (
        SELECT pg_catalog.row_to_json(_4.*)
        FROM (
          SELECT _3."name" AS "_4"
          FROM "public"."users" AS _3
          WHERE (_3."id" OPERATOR(pg_catalog.=) _1."owner_id")
        ) AS _4
      ) AS "_4"
      FROM "public"."tasks" AS _1
      ORDER BY _1."id" ASC
      LIMIT 1
    ) AS _2
  ) AS "tasks", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."place" AS "_7", _5."docb" AS "_8", _5."place" AS "_9"
      FROM "public"."kinds" AS _5
      WHERE (_5."id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4")
    ) AS _6
  ) AS "kinds"
) AS _0
-- $1 = Some("1")
