SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."title" AS "title"
      FROM "public"."tasks" AS _1
      WHERE (_1."title" OPERATOR(pg_catalog.^@) ($1)::"pg_catalog"."text")
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "plain", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."title" AS "title"
      FROM "public"."tasks" AS _3
      WHERE ((_3."title" OPERATOR(pg_catalog.^@) ($2)::"pg_catalog"."text") AND (_3."title" OPERATOR(pg_catalog.~~) ($3)::"pg_catalog"."text"))
      ORDER BY _3."id" ASC
    ) AS _4
  ) AS "rest", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."title" AS "title"
      FROM "public"."tasks" AS _5
      WHERE (_5."title" OPERATOR(pg_catalog.~~) ($4)::"pg_catalog"."text")
      ORDER BY _5."id" ASC
    ) AS _6
  ) AS "none", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_8.*)), '[]')
    FROM (
      SELECT _7."title" AS "title"
      FROM "public"."tasks" AS _7
      WHERE (((($5)::"pg_catalog"."text" IS NULL) OR (_7."title" OPERATOR(pg_catalog.^@) ($5)::"pg_catalog"."text")) AND ((($6)::"pg_catalog"."text" IS NULL) OR (_7."title" OPERATOR(pg_catalog.~~) ($6)::"pg_catalog"."text")))
      ORDER BY _7."id" ASC
    ) AS _8
  ) AS "given"
) AS _0
-- $1 = Some("Read")
-- $2 = Some("Write")
-- $3 = Some("Write%e_gine")
-- $4 = Some("%100\\%")
-- $5 = Some("Caf")
-- $6 = None
