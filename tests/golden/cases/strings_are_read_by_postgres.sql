SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."kinds" AS _1
      WHERE ((_1."big" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int8") AND (_1."flag" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."bool") AND (_1."id" OPERATOR(pg_catalog.=) ($3)::"pg_catalog"."int4") AND (_1."small" OPERATOR(pg_catalog.=) ANY (($4)::"pg_catalog"."int2"[])) AND (_1."day" OPERATOR(pg_catalog.=) ($5)::"pg_catalog"."date") AND (_1."state" OPERATOR(pg_catalog.=) ($6)::"public"."task_status") AND (_1."exact" OPERATOR(pg_catalog.>) ($7)::"pg_catalog"."numeric"))
    ) AS _2
  ) AS "kinds"
) AS _0
-- $1 = Some("9223372036854775807")
-- $2 = Some("true")
-- $3 = Some("1")
-- $4 = Some("{\"-32768\",\"5\"}")
-- $5 = Some("2024-02-29")
-- $6 = Some("doing")
-- $7 = Some("1e3")
