SELECT _1."c0", _1."c1", pg_catalog.to_json(_1."c2"), _1."c3"
FROM (
  SELECT _0."title" AS "c0", _0."id" AS "c1", _0."points" AS "c2", (
    SELECT ROW(_3."name")
    FROM (
      SELECT _2."name" AS "name"
      FROM "public"."users" AS _2
      WHERE (_2."id" OPERATOR(pg_catalog.=) _0."owner_id")
    ) AS _3
  ) AS "c3"
  FROM "public"."tasks" AS _0
  ORDER BY _0."id" ASC
  LIMIT 2
) AS _1
