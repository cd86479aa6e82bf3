SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id", _1."small" AS "small", _1."big" AS "big", _1."exact" AS "exact", _1."single" AS "single", _1."double" AS "double", _1."flag" AS "flag", _1."label" AS "label", _1."fixed" AS "fixed", _1."raw" AS "raw", _1."day" AS "day", _1."moment" AS "moment", _1."local" AS "local", _1."clock" AS "clock", _1."span" AS "span", _1."doc" AS "doc", _1."docb" AS "docb", _1."numbers" AS "numbers", _1."words" AS "words", _1."state" AS "state", _1."states" AS "states", _1."place" AS "place", _1."net" AS "net", _1."spot" AS "spot", _1."period" AS "period", _1."bits" AS "bits", _1."cash" AS "cash", _1."key" AS "key", _1."words_of" AS "words_of", _1."count" AS "count"
      FROM "public"."kinds" AS _1
      ORDER BY _1."id" ASC
    ) AS _2
  ) AS "kinds"
) AS _0
