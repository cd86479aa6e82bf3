SELECT _1."id"
FROM (
  SELECT _0."id" AS "id"
  FROM "public"."kinds" AS _0
  WHERE ((_0."big" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int8") AND (_0."flag" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."bool") AND (_0."id" OPERATOR(pg_catalog.=) ($3)::"pg_catalog"."int4") AND (_0."small" OPERATOR(pg_catalog.=) ANY (($4)::"pg_catalog"."int2"[])) AND (_0."day" OPERATOR(pg_catalog.=) ($5)::"pg_catalog"."date") AND (_0."state" OPERATOR(pg_catalog.=) ($6)::"public"."task_status") AND (_0."exact" OPERATOR(pg_catalog.>) ($7)::"pg_catalog"."numeric"))
) AS _1
-- $1 = Some("9223372036854775807")
-- $2 = Some("true")
-- $3 = Some("1")
-- $4 = Some("{\"-32768\",\"5\"}")
-- $5 = Some("2024-02-29")
-- $6 = Some("doing")
-- $7 = Some("1e3")
