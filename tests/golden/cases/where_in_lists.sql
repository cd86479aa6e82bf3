SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."tasks" AS _1
      WHERE (_1."id" OPERATOR(pg_catalog.=) ANY (($1)::"pg_catalog"."int4"[]))
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "a", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."id" AS "id"
      FROM "public"."tasks" AS _3
      WHERE (_3."id" OPERATOR(pg_catalog.=) ANY (ARRAY[($2)::"pg_catalog"."int4", ($3)::"pg_catalog"."int4"]::"pg_catalog"."int4"[]))
      ORDER BY _3."id" ASC
    ) AS _4
  ) AS "b", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."id" AS "id"
      FROM "public"."tasks" AS _5
      WHERE (_5."id" OPERATOR(pg_catalog.=) ANY (($4)::"pg_catalog"."int4"[]))
    ) AS _6
  ) AS "c", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_8.*)), '[]')
    FROM (
      SELECT _7."id" AS "id"
      FROM "public"."tasks" AS _7
      WHERE (_7."status" OPERATOR(pg_catalog.<>) ALL (($5)::"public"."task_status"[]))
      ORDER BY _7."id" ASC
    ) AS _8
  ) AS "d"
) AS _0
-- $1 = Some("{\"1\",\"3\"}")
-- $2 = Some("2")
-- $3 = Some("3")
-- $4 = Some("{}")
-- $5 = Some("{\"done\",\"doing\"}")
