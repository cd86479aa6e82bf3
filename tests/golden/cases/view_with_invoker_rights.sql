SELECT _1."id", _1."title"
FROM (
  SELECT _0."id" AS "id", _0."title" AS "title"
  FROM "public"."open_tasks" AS _0
  ORDER BY _0."id" ASC
) AS _1
