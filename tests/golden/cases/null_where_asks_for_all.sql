SELECT _1."id"
FROM (
  SELECT _0."id" AS "id"
  FROM "public"."tasks" AS _0
) AS _1
