SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
      WHERE (_1."title" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."text")
    ) AS _2
  ) AS "a", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."id" AS "id"
      FROM "public"."tasks" AS _3
      WHERE (_3."title" OPERATOR(pg_catalog.=) ANY (ARRAY[($2)::"pg_catalog"."text", ($3)::"pg_catalog"."text", ($4)::"pg_catalog"."text"]::"pg_catalog"."text"[]))
    ) AS _4
  ) AS "b", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."id" AS "id"
      FROM "public"."tasks" AS _5
      WHERE (NOT (_5."title" OPERATOR(pg_catalog.=) ($5)::"pg_catalog"."text"))
      ORDER BY _5."id" ASC
    ) AS _6
  ) AS "c"
) AS _0
-- $1 = Some("'; drop table tasks; --")
-- $2 = Some("\\\" $1 %s {\u{1}}")
-- $3 = Some("' or 1=1")
-- $4 = Some("\\")
-- $5 = Some("';--")
