SELECT _1."id"
FROM (
  SELECT _0."id" AS "id"
  FROM "public"."tasks" AS _0
  WHERE ((_0."title" OPERATOR(pg_catalog.^@) ($1)::"pg_catalog"."text") OR ((_0."points" OPERATOR(pg_catalog.>=) ($2)::"pg_catalog"."int4") AND (NOT (_0."status" OPERATOR(pg_catalog.=) ($3)::"public"."task_status"))))
  ORDER BY _0."id" ASC
) AS _1
-- $1 = Some("Read")
-- $2 = Some("5")
-- $3 = Some("done")
