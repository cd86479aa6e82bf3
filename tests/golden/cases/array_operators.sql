SELECT pg_catalog.row_to_json(_0.*)
FROM (
  SELECT (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_2.*)), '[]')
    FROM (
      SELECT _1."id" AS "id"
      FROM "public"."kinds" AS _1
      WHERE (_1."numbers" OPERATOR(pg_catalog.=) ANY (
        SELECT (_3."_3")::"pg_catalog"."_int4"
        FROM "pg_catalog"."unnest"(($1)::"pg_catalog"."text"[]) AS _3
      ))
    ) AS _2
  ) AS "in", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_5.*)), '[]')
    FROM (
      SELECT _4."id" AS "id"
      FROM "public"."kinds" AS _4
      WHERE ((_4."words" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."_text") OR (_4."words" OPERATOR(pg_catalog.=) ($3)::"pg_catalog"."_text"))
    ) AS _5
  ) AS "mixed", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_7.*)), '[]')
    FROM (
      SELECT _6."id" AS "id"
      FROM "public"."kinds" AS _6
      WHERE (_6."numbers" OPERATOR(pg_catalog.=) ANY (
        SELECT (_8."_8")::"pg_catalog"."_int4"
        FROM "pg_catalog"."unnest"(($4)::"pg_catalog"."text"[]) AS _8
      ))
    ) AS _7
  ) AS "none", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_10.*)), '[]')
    FROM (
      SELECT _9."id" AS "id"
      FROM "public"."kinds" AS _9
      WHERE (_9."numbers" OPERATOR(pg_catalog.<>) ALL (
        SELECT (_11."_11")::"pg_catalog"."_int4"
        FROM "pg_catalog"."unnest"(($5)::"pg_catalog"."text"[]) AS _11
      ))
      ORDER BY _9."id" ASC
    ) AS _10
  ) AS "not", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_13.*)), '[]')
    FROM (
      SELECT _12."id" AS "id"
      FROM "public"."kinds" AS _12
      WHERE (_12."words" OPERATOR(pg_catalog.@>) ($6)::"pg_catalog"."_text")
    ) AS _13
  ) AS "contains", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_15.*)), '[]')
    FROM (
      SELECT _14."id" AS "id"
      FROM "public"."kinds" AS _14
      WHERE (_14."numbers" OPERATOR(pg_catalog.<@) ($7)::"pg_catalog"."_int4")
    ) AS _15
  ) AS "contained", (
    SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(_17.*)), '[]')
    FROM (
      SELECT _16."id" AS "id"
      FROM "public"."kinds" AS _16
      WHERE (_16."numbers" OPERATOR(pg_catalog.>) ($8)::"pg_catalog"."_int4")
    ) AS _17
  ) AS "greater"
) AS _0
-- $1 = Some("{\"{\\\"1\\\",\\\"2\\\",NULL}\",\"{7}\"}")
-- $2 = Some("{x}")
-- $3 = Some("{\"a b\",\"c\\\"d\"}")
-- $4 = Some("{}")
-- $5 = Some("{\"{\\\"1\\\",\\\"2\\\"}\"}")
-- $6 = Some("{\"a b\"}")
-- $7 = Some("{1,2,3}")
-- $8 = Some("{\"1\"}")
