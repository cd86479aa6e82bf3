SELECT _2."id", _2."owner"
FROM (
  SELECT _0."id" AS "id", (
    SELECT ROW(_4."name")
    FROM (
      SELECT _3."name" AS "name"
      FROM "public"."users" AS _3
      WHERE (_3."id" OPERATOR(pg_catalog.=) _0."owner_id")
    ) AS _4
  ) AS "owner"
  FROM "public"."tasks" AS _0
  WHERE ((_0."status" OPERATOR(pg_catalog.=) ($1)::"public"."task_status") OR ((_0."points" OPERATOR(pg_catalog.<) ($2)::"pg_catalog"."int4") AND (_0."estimate" IS NULL)))
  ORDER BY (
    SELECT _1."name"
    FROM "public"."users" AS _1
    WHERE (_1."id" OPERATOR(pg_catalog.=) _0."owner_id")
  ) DESC, _0."id" ASC
) AS _2
-- $1 = Some("done")
-- $2 = Some("4")
