SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
      WHERE (_1."title" OPERATOR(pg_catalog.~~*) ($1)::"pg_catalog"."text")
    ) AS _2
  ) AS "a", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."id" AS "id"
      FROM "public"."tasks" AS _3
      WHERE (_3."title" OPERATOR(pg_catalog.~) pg_catalog.similar_to_escape(($2)::"pg_catalog"."text"))
      ORDER BY _3."id" ASC
    ) AS _4
  ) AS "b", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."id" AS "id"
      FROM "public"."tasks" AS _5
      WHERE ((_5."title" OPERATOR(pg_catalog.~) ($3)::"pg_catalog"."text") AND (_5."title" OPERATOR(pg_catalog.!~) ($4)::"pg_catalog"."text"))
    ) AS _6
  ) AS "c", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_8.*)), '[]')
    FROM (
      SELECT _7."id" AS "id", _7."title" AS "title"
      FROM "public"."tasks" AS _7
      WHERE (_7."title" OPERATOR(pg_catalog.~*) ($5)::"pg_catalog"."text")
    ) AS _8
  ) AS "d", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_10.*)), '[]')
    FROM (
      SELECT _9."id" AS "id"
      FROM "public"."tasks" AS _9
      WHERE (_9."title" OPERATOR(pg_catalog.!~~) ($6)::"pg_catalog"."text")
    ) AS _10
  ) AS "e"
) AS _0
-- $1 = Some("%NOTES%")
-- $2 = Some("(Write|Read)%")
-- $3 = Some("^W")
-- $4 = Some("x$")
-- $5 = Some("café")
-- $6 = Some("%e%")
