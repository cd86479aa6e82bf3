SELECT _1."id"
FROM (
  SELECT _0."id" AS "id"
  FROM "public"."tasks" AS _0
  ORDER BY _0."id" ASC
) AS _1
