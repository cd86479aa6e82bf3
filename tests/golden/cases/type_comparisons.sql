SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."kinds" AS _1
      WHERE (_1."big" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int8")
    ) AS _2
  ) AS "a", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_4.*)), '[]')
    FROM (
      SELECT _3."id" AS "id"
      FROM "public"."kinds" AS _3
      WHERE (_3."exact" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."numeric")
    ) AS _4
  ) AS "b", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_6.*)), '[]')
    FROM (
      SELECT _5."id" AS "id"
      FROM "public"."kinds" AS _5
      WHERE ((_5."moment" OPERATOR(pg_catalog.<=) ($3)::"pg_catalog"."timestamptz") AND (_5."day" OPERATOR(pg_catalog.=) ($4)::"pg_catalog"."date"))
    ) AS _6
  ) AS "c", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_8.*)), '[]')
    FROM (
      SELECT _7."id" AS "id"
      FROM "public"."kinds" AS _7
      WHERE (_7."docb" OPERATOR(pg_catalog.=) ($5)::"pg_catalog"."jsonb")
    ) AS _8
  ) AS "d", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_10.*)), '[]')
    FROM (
      SELECT _9."id" AS "id"
      FROM "public"."kinds" AS _9
      WHERE (_9."numbers" OPERATOR(pg_catalog.=) ($6)::"pg_catalog"."_int4")
    ) AS _10
  ) AS "e", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_12.*)), '[]')
    FROM (
      SELECT _11."id" AS "id"
      FROM "public"."kinds" AS _11
      WHERE (_11."words" OPERATOR(pg_catalog.=) ($7)::"pg_catalog"."_text")
    ) AS _12
  ) AS "f", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_14.*)), '[]')
    FROM (
      SELECT _13."id" AS "id"
      FROM "public"."kinds" AS _13
      WHERE ((_13."net" OPERATOR(pg_catalog.=) ($8)::"pg_catalog"."inet") AND (_13."period" OPERATOR(pg_catalog.=) ($9)::"pg_catalog"."int4range") AND (_13."flag" OPERATOR(pg_catalog.=) ($10)::"pg_catalog"."bool"))
    ) AS _14
  ) AS "g", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_16.*)), '[]')
    FROM (
      SELECT _15."id" AS "id"
      FROM "public"."kinds" AS _15
      WHERE ((_15."fixed" OPERATOR(pg_catalog.=) ($11)::"pg_catalog"."bpchar") AND (_15."label" OPERATOR(pg_catalog.=) ANY (($12)::"pg_catalog"."varchar"[])) AND (_15."count" OPERATOR(pg_catalog.>) ($13)::"pg_catalog"."int4"))
    ) AS _16
  ) AS "h", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_18.*)), '[]')
    FROM (
      SELECT _17."id" AS "id"
      FROM "public"."kinds" AS _17
      WHERE ((_17."states" OPERATOR(pg_catalog.=) ($14)::"public"."_task_status") AND (_17."place" OPERATOR(pg_catalog.=) ($15)::"public"."address") AND (_17."cash" OPERATOR(pg_catalog.=) ($16)::"pg_catalog"."money"))
    ) AS _18
  ) AS "i", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_20.*)), '[]')
    FROM (
      SELECT _19."id" AS "id"
      FROM "public"."kinds" AS _19
      WHERE (_19."spot" IS NULL)
    ) AS _20
  ) AS "j", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_22.*)), '[]')
    FROM (
      SELECT _21."id" AS "id"
      FROM "public"."kinds" AS _21
      WHERE ((_21."single" OPERATOR(pg_catalog.=) ($17)::"pg_catalog"."float4") AND (_21."double" OPERATOR(pg_catalog.=) ($18)::"pg_catalog"."float8") AND (_21."small" OPERATOR(pg_catalog.<) ($19)::"pg_catalog"."int2") AND (_21."bits" OPERATOR(pg_catalog.=) ($20)::"pg_catalog"."varbit"))
    ) AS _22
  ) AS "k"
) AS _0
-- $1 = Some("9223372036854775807")
-- $2 = Some("123456789012345678901234567890.12345678901234567890")
-- $3 = Some("2024-02-29T10:00:00Z")
-- $4 = Some("2024-02-29")
-- $5 = Some("{\"a\":2,\"b\":1}")
-- $6 = Some("{\"1\",\"2\",NULL}")
-- $7 = Some("{\"a b\",\"c\\\"d\"}")
-- $8 = Some("10.0.0.0/8")
-- $9 = Some("[1,4]")
-- $10 = Some("true")
-- $11 = Some("ab")
-- $12 = Some("{\"label\",\"other\"}")
-- $13 = Some("6")
-- $14 = Some("{todo,done}")
-- $15 = Some("(Main,12345)")
-- $16 = Some("$12.34")
-- $17 = Some("1.5")
-- $18 = Some("0.1")
-- $19 = Some("0")
-- $20 = Some("10101")
