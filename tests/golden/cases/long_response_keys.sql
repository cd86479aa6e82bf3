SELECT _0."value"
FROM (
  SELECT ((((('' OPERATOR(pg_catalog.||) '{') OPERATOR(pg_catalog.||) '"a_response_key_that_is_longer_than_sixty_three_bytes_for_sure_yes_it_is":') OPERATOR(pg_catalog.||) COALESCE((pg_catalog.to_json((
    SELECT COALESCE(pg_catalog.json_agg(_2."value"), '[]')
    FROM (
      SELECT ((((((((((((('' OPERATOR(pg_catalog.||) '{') OPERATOR(pg_catalog.||) '"an_even_longer_response_key_for_a_column_of_the_table_that_goes_on_and_on":') OPERATOR(pg_catalog.||) COALESCE((pg_catalog.to_json(_1."title"))::"pg_catalog"."text", 'null')) OPERATOR(pg_catalog.||) ',"id":') OPERATOR(pg_catalog.||) COALESCE((pg_catalog.to_json(_1."id"))::"pg_catalog"."text", 'null')) OPERATOR(pg_catalog.||) ',"points":') OPERATOR(pg_catalog.||) COALESCE((pg_catalog.to_json(_1."points"))::"pg_catalog"."text", 'null')) OPERATOR(pg_catalog.||) ',"owner":') OPERATOR(pg_catalog.||) COALESCE((pg_catalog.to_json((
        SELECT pg_catalog.row_to_json(_4.*)
        FROM (
          SELECT _3."name" AS "name"
          FROM "public"."users" AS _3
          WHERE (_3."id" OPERATOR(pg_catalog.=) _1."owner_id")
        ) AS _4
      )))::"pg_catalog"."text", 'null')) OPERATOR(pg_catalog.||) ',"t":') OPERATOR(pg_catalog.||) '"tasks"') OPERATOR(pg_catalog.||) '}'))::"pg_catalog"."json" AS "value"
      FROM "public"."tasks" AS _1
      ORDER BY _1."id" ASC
      LIMIT 2
    ) AS _2
  )))::"pg_catalog"."text", 'null')) OPERATOR(pg_catalog.||) '}'))::"pg_catalog"."json" AS "value"
) AS _0
