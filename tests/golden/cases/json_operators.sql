SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."kinds" AS _1
      WHERE (_1."docb" OPERATOR(pg_catalog.@>) ($1)::"pg_catalog"."jsonb")
    ) AS _2
  ) AS "contains", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."id" AS "id"
      FROM "public"."kinds" AS _3
      WHERE (_3."docb" OPERATOR(pg_catalog.<@) ($2)::"pg_catalog"."jsonb")
    ) AS _4
  ) AS "contained", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."id" AS "id"
      FROM "public"."kinds" AS _5
      WHERE (_5."docb" OPERATOR(pg_catalog.?) ($3)::"pg_catalog"."text")
    ) AS _6
  ) AS "key", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_8.*)), '[]')
    FROM (
      SELECT _7."id" AS "id"
      FROM "public"."kinds" AS _7
      WHERE (_7."docb" OPERATOR(pg_catalog.?|) ($4)::"pg_catalog"."text"[])
    ) AS _8
  ) AS "any", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_10.*)), '[]')
    FROM (
      SELECT _9."id" AS "id"
      FROM "public"."kinds" AS _9
      WHERE (_9."docb" OPERATOR(pg_catalog.?&) ($5)::"pg_catalog"."text"[])
    ) AS _10
  ) AS "all", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_12.*)), '[]')
    FROM (
      SELECT _11."id" AS "id"
      FROM "public"."kinds" AS _11
      WHERE (_11."docb" OPERATOR(pg_catalog.@?) ($6)::"pg_catalog"."jsonpath")
    ) AS _12
  ) AS "exists", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_14.*)), '[]')
    FROM (
      SELECT _13."id" AS "id"
      FROM "public"."kinds" AS _13
      WHERE (_13."docb" OPERATOR(pg_catalog.@@) ($7)::"pg_catalog"."jsonpath")
    ) AS _14
  ) AS "match", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_16.*)), '[]')
    FROM (
      SELECT _15."id" AS "id"
      FROM "public"."kinds" AS _15
      WHERE (((_15."docb")::"pg_catalog"."text" OPERATOR(pg_catalog.~~) ($8)::"pg_catalog"."text") AND ((_15."docb")::"pg_catalog"."text" OPERATOR(pg_catalog.<>) ($9)::"pg_catalog"."text"))
    ) AS _16
  ) AS "text", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_18.*)), '[]')
    FROM (
      SELECT _17."id" AS "id"
      FROM "public"."kinds" AS _17
      WHERE (_17."docb" OPERATOR(pg_catalog.=) ANY (($10)::"pg_catalog"."jsonb"[]))
    ) AS _18
  ) AS "equal"
) AS _0
-- $1 = Some("{\"b\":1}")
-- $2 = Some("{\"a\":2,\"b\":1,\"c\":[null]}")
-- $3 = Some("a")
-- $4 = Some("{\"a\",\"x\\\"y\"}")
-- $5 = Some("{\"a\",\"b\"}")
-- $6 = Some("$.b")
-- $7 = Some("$.a == 2")
-- $8 = Some("%\"a\": 2%")
-- $9 = Some("x")
-- $10 = Some("{\"{\\\"a\\\":2,\\\"b\\\":1}\",\"\\\"s\\\"\",\"1\"}")
