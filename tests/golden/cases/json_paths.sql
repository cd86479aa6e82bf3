SELECT _1."id", _1."a", _1."b", _1."whole", _1."none", _1."null"
FROM (
  SELECT _0."id" AS "id", (_0."docb" OPERATOR(pg_catalog.#>) ($1)::"pg_catalog"."text"[]) AS "a", (_0."doc" OPERATOR(pg_catalog.#>) ($2)::"pg_catalog"."text"[]) AS "b", (_0."docb" OPERATOR(pg_catalog.#>) ($3)::"pg_catalog"."text"[]) AS "whole", (_0."doc" OPERATOR(pg_catalog.#>) ($4)::"pg_catalog"."text"[]) AS "none", _0."docb" AS "null"
  FROM "public"."kinds" AS _0
  ORDER BY _0."id" ASC
) AS _1
-- $1 = Some("{\"a\"}")
-- $2 = Some("{\"b\"}")
-- $3 = Some("{}")
-- $4 = Some("{\"x\",\"0\",\"y z\"}")
