SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", (_1."docb" OPERATOR(pg_catalog.#>) ($1)::"pg_catalog"."text"[]) AS "a", (_1."doc" OPERATOR(pg_catalog.#>) ($2)::"pg_catalog"."text"[]) AS "b", (_1."docb" OPERATOR(pg_catalog.#>) ($3)::"pg_catalog"."text"[]) AS "whole", (_1."doc" OPERATOR(pg_catalog.#>) ($4)::"pg_catalog"."text"[]) AS "none", _1."docb" AS "null"
      FROM "public"."kinds" AS _1
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "kinds"
) AS _0
-- $1 = Some("{\"a\"}")
-- $2 = Some("{\"b\"}")
-- $3 = Some("{}")
-- $4 = Some("{\"x\",\"0\",\"y z\"}")
