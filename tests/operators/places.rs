//! The types of PostGIS: GeoJSON in and out, every operator of Hasura, casts,
//! writes, and permissions that are about places.

use super::harness::{ADMIN_SECRET, OWNER, TestDb, Token, http};
use super::served::Instance;
use serde_json::{Value, json};

/// PostGIS in a schema of its own, as managed services have it.
const SCHEMA: &str = "
    create schema gis;
    create extension postgis schema gis;
    grant usage on schema gis to public;
    create table public.sites (
      id int primary key, tenant text not null, spot gis.geography(Point, 4326),
      area gis.geometry(Geometry, 4326), label text
    );
    alter table public.sites owner to OWNER;
    insert into public.sites values
      (1, 'a', 'POINT(13.4 52.5)', 'SRID=4326;POLYGON((0 0,4 0,4 4,0 4,0 0))', 'square'),
      (2, 'a', 'POINT(13.5 52.5)', 'SRID=4326;LINESTRING(-1 2,5 2)', 'line'),
      (3, 'a', null, 'SRID=4326;POINT(2 2)', 'inside'),
      (4, 'a', null, 'SRID=4326;POLYGON((4 0,8 0,8 4,4 4,4 0))', 'neighbour'),
      (5, 'a', null, 'SRID=4326;POLYGON((2 2,6 2,6 6,2 6,2 2))', 'overlap'),
      (9, 'b', 'POINT(13.4 52.5)', 'SRID=4326;POINT(2 2)', 'of another tenant');
    alter table public.sites enable row level security;
    create policy tenant on public.sites using (tenant = current_setting('app.tenant_id', true));
    grant select, insert, update on public.sites to app_user;
";

struct Places {
    server: Instance,
    token: String,
    _db: TestDb,
}

impl Places {
    async fn start() -> Self {
        let db = TestDb::empty().await;
        let sql = SCHEMA.replace("OWNER", OWNER);
        db.client().await.batch_execute(&sql).await.expect("PostGIS is installed");
        let server = Instance::start_with(&db, &[("HASURA_GRAPHQL_ADMIN_SECRET", ADMIN_SECRET)]);
        Places { server, token: Token::new("user").tenant("a").bearer(), _db: db }
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Value {
        let url = format!("http://{}{path}", self.server.address);
        let request = http().post(url).header("content-type", "application/json");
        let mut request = request.body(body.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("answers").bytes().await.expect("a body");
        serde_json::from_slice(&answer).expect("JSON")
    }

    async fn ask(&self, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables});
        self.send("/v1/graphql", &[("authorization", &self.token)], &body).await
    }

    /// The ids of the sites that a condition holds for.
    async fn found(&self, condition: &str, variables: Value) -> Vec<i64> {
        let declared = if variables["place"].is_null() { "" } else { "($place: geometry!)" };
        let query = format!(
            "query{declared} {{ sites(where: {{{condition}}}, order_by: {{id: asc}}) {{ id }} }}"
        );
        let answer = self.ask(&query, variables).await;
        let rows =
            answer["data"]["sites"].as_array().unwrap_or_else(|| panic!("{condition}: {answer}"));
        rows.iter().filter_map(|row| row["id"].as_i64()).collect()
    }
}

const SQUARE: &str = "{type: \"Polygon\", coordinates: [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]}";

#[tokio::test]
async fn places_are_geojson() {
    let places = Places::start().await;
    let crs = json!({"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4326"}});
    let answer = places
        .ask("{ sites(where: {id: {_lte: 2}}, order_by: {id: asc}) { spot area } }", json!({}))
        .await;
    assert_eq!(
        answer["data"]["sites"],
        json!([
            {"spot": {"type": "Point", "crs": crs, "coordinates": [13.4, 52.5]},
             "area": {"type": "Polygon", "crs": crs, "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]}},
            {"spot": {"type": "Point", "crs": crs, "coordinates": [13.5, 52.5]},
             "area": {"type": "LineString", "crs": crs, "coordinates": [[-1, 2], [5, 2]]}},
        ]),
        "{answer}"
    );

    let insert = "mutation ($spot: geography, $area: geometry, $lon: Float) {
        insert_sites(objects: [
          {id: 10, tenant: \"a\", spot: $spot, area: $area},
          {id: 11, tenant: \"a\", spot: {type: \"Point\", coordinates: [$lon, 2]}, area: \"SRID=4326;POINT(7 7)\"}
        ]) { returning { id spot area } } }";
    let point = json!({"type": "Point", "coordinates": [1.25, 2]});
    let answer = places.ask(insert, json!({"spot": point, "area": point, "lon": 3.5})).await;
    let shown = |x: Value, y: Value| json!({"type": "Point", "crs": crs, "coordinates": [x, y]});
    assert_eq!(
        answer["data"]["insert_sites"]["returning"],
        json!([
            {"id": 10, "spot": shown(json!(1.25), json!(2)), "area": shown(json!(1.25), json!(2))},
            {"id": 11, "spot": shown(json!(3.5), json!(2)), "area": shown(json!(7), json!(7))},
        ]),
        "{answer}"
    );
    let many = "mutation ($rows: [sites_insert_input!]!) { insert_sites(objects: $rows) { affected_rows } }";
    let rows =
        json!([{"id": 12, "tenant": "a", "area": point}, {"id": 13, "tenant": "a", "area": null}]);
    let answer = places.ask(many, json!({"rows": rows})).await;
    assert_eq!(answer["data"]["insert_sites"]["affected_rows"], 2, "{answer}");
    let update = "mutation ($to: geometry) { update_sites_by_pk(pk_columns: {id: 13}, _set: {area: $to}) { area } }";
    let answer = places.ask(update, json!({"to": point})).await;
    assert_eq!(
        answer["data"]["update_sites_by_pk"]["area"],
        shown(json!(1.25), json!(2)),
        "{answer}"
    );
}

#[tokio::test]
async fn every_operator_of_places() {
    let places = Places::start().await;
    for (operator, place, expected) in [
        ("_st_contains", "{type: \"Point\", coordinates: [1, 1]}", vec![1]),
        ("_st_crosses", SQUARE, vec![2]),
        ("_st_equals", SQUARE, vec![1]),
        ("_st_intersects", SQUARE, vec![1, 2, 3, 4, 5]),
        ("_st_3d_intersects", SQUARE, vec![1, 2, 3, 4, 5]),
        ("_st_overlaps", SQUARE, vec![5]),
        ("_st_touches", SQUARE, vec![4]),
        ("_st_within", SQUARE, vec![1, 3]),
        ("_eq", SQUARE, vec![1]),
        ("_d_within", "{distance: 0.5, from: {type: \"Point\", coordinates: [8.4, 1]}}", vec![4]),
        (
            "_3d_d_within",
            "{distance: 0.5, from: {type: \"Point\", coordinates: [8.4, 1]}}",
            vec![4],
        ),
    ] {
        let operator = if operator.contains("d_within") {
            format!("_st{operator}")
        } else {
            operator.to_owned()
        };
        assert_eq!(
            places.found(&format!("area: {{{operator}: {place}}}"), json!({})).await,
            expected,
            "{operator}"
        );
    }
    let place = json!({"type": "Point", "coordinates": [2, 2]});
    assert_eq!(
        places.found("area: {_st_contains: $place}", json!({"place": place})).await,
        [1, 2, 3]
    );
    // On the globe: 6.8 km between the two.
    let near = |distance: u32| {
        format!(
            "spot: {{_st_d_within: {{distance: {distance}, from: {{type: \"Point\", coordinates: [13.4, 52.5]}}}}}}"
        )
    };
    assert_eq!(places.found(&near(6_000), json!({})).await, [1]);
    assert_eq!(places.found(&near(7_000), json!({})).await, [1, 2]);
    // A little less on a sphere than on the spheroid, which is the default.
    for (form, expected) in
        [("", vec![1]), (", use_spheroid: true", vec![1]), (", use_spheroid: false", vec![1, 2])]
    {
        let between = near(6_780).replace("distance: 6780", &format!("distance: 6780{form}"));
        assert_eq!(places.found(&between, json!({})).await, expected, "{form}");
    }
    assert_eq!(
        places
            .found(
                "spot: {_st_intersects: {type: \"Point\", coordinates: [13.5, 52.5]}}",
                json!({})
            )
            .await,
        [2]
    );
    let cast = "spot: {_cast: {geometry: {_st_within: {type: \"Polygon\", coordinates: [[[13, 52], [13.45, 52], [13.45, 53], [13, 53], [13, 52]]]}}}}";
    assert_eq!(places.found(cast, json!({})).await, [1]);
    let cast = "area: {_cast: {geography: {_st_d_within: {distance: 1000, from: {type: \"Point\", coordinates: [2, 2]}}}}}";
    assert_eq!(places.found(cast, json!({})).await, [1, 2, 3, 5]);
}

#[tokio::test]
async fn what_is_no_place_is_told() {
    let places = Places::start().await;
    for (condition, path, message) in [
        (
            "area: {_st_within: {type: \"Circle\", coordinates: [1]}}",
            "area._st_within",
            "\"Circle\" is no type of GeoJSON geometries",
        ),
        ("area: {_st_within: {}}", "area._st_within", "a GeoJSON geometry needs a \"type\""),
        (
            "area: {_st_within: null}",
            "area._st_within",
            "unexpected null value for type \"geometry\"",
        ),
        (
            "area: {_st_within: {type: \"LineString\", coordinates: [[1, 1], [2, 2, 2]]}}",
            "area._st_within",
            "all positions of a geometry have two numbers, or all have three",
        ),
        (
            "area: {_st_within: {type: \"Polygon\", coordinates: [[]]}}",
            "area._st_within",
            "a ring of a Polygon has at least four positions",
        ),
        (
            "area: {_neq: {type: \"Point\", coordinates: [1, 1]}}",
            "area._neq",
            "not found in type: 'geometry_comparison_exp'",
        ),
        (
            "spot: {_nin: [{type: \"Point\", coordinates: [1, 1]}]}",
            "spot._nin",
            "not found in type: 'geography_comparison_exp'",
        ),
        (
            "area: {_st_d_within: {from: {type: \"Point\", coordinates: [1, 1]}}}",
            "area._st_d_within",
            "missing required field \"distance\"",
        ),
        (
            "area: {_st_d_within: {distance: true, from: {type: \"Point\", coordinates: [1, 1]}}}",
            "area._st_d_within.distance",
            "",
        ),
        (
            "spot: {_st_within: {type: \"Point\", coordinates: [1, 1]}}",
            "spot._st_within",
            "not found in type: 'geography_comparison_exp'",
        ),
    ] {
        let answer =
            places.ask(&format!("{{ sites(where: {{{condition}}}) {{ id }} }}"), json!({})).await;
        let error = &answer["errors"][0];
        assert_eq!(
            error["extensions"]["path"],
            format!("$.selectionSet.sites.args.where.{path}"),
            "{condition}: {answer}"
        );
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains(message)),
            "{condition}: {answer}"
        );
    }
    // Texts that only PostGIS can judge.
    for text in ["POINT(", "no place", "LINESTRING(1 1)"] {
        let query = format!("{{ sites(where: {{area: {{_st_within: \"{text}\"}}}}) {{ id }} }}");
        let answer = places.ask(&query, json!({})).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "data-exception", "{text}: {answer}");
        assert!(
            error["message"].as_str().is_some_and(|told| told.contains("geometry")),
            "{text}: {answer}"
        );
    }
    let query = "query ($x: jsonb) { sites(where: {area: {_st_within: {type: \"Point\", coordinates: [$x, 1]}}}) { id } }";
    let answer = places.ask(query, json!({"x": "1); drop table sites"})).await;
    assert!(answer["errors"][0]["message"].as_str().is_some(), "{answer}");
    let ring = "{ sites(where: {area: {_st_within: {type: \"Polygon\", coordinates: [[[0, 0], [1, 1]]]}}}) { id } }";
    let answer = places.ask(ring, json!({})).await;
    let message = answer["errors"][0]["message"].as_str();
    assert!(message.is_some_and(|text| text.starts_with("a ring of a Polygon")), "{answer}");
}

#[tokio::test]
async fn permissions_know_places() {
    let places = Places::start().await;
    let secret = [("x-hasura-admin-secret", ADMIN_SECRET)];
    let square =
        json!({"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]});
    let steps = json!({"type": "bulk", "args": [
        {"type": "pg_track_table", "args": {"table": "sites"}},
        {"type": "pg_create_select_permission", "args": {"table": "sites", "role": "user", "permission":
            {"columns": "*", "filter": {"_or": [
                {"area": {"_st_within": square}},
                {"spot": {"_st_d_within": {"distance": "X-Hasura-Range", "from": "X-Hasura-Home"}}},
            ]}}}},
    ]});
    let done = places.send("/v1/metadata", &secret, &steps).await;
    assert_eq!(done, json!([{"message": "success"}, {"message": "success"}]));
    let token = Token::new("user")
        .tenant("a")
        .claim("x-hasura-range", "100")
        .claim("x-hasura-home", "POINT(13.5 52.5)");
    let query = json!({"query": "{ sites(order_by: {id: asc}) { id } }"});
    let answer = places.send("/v1/graphql", &[("authorization", &token.bearer())], &query).await;
    assert_eq!(answer, json!({"data": {"sites": [{"id": 1}, {"id": 2}, {"id": 3}]}}));
    let wrong = json!({"type": "pg_create_select_permission", "args": {"table": "sites", "role": "editor", "permission":
        {"columns": "*", "filter": {"area": {"_st_within": {"type": "Circle"}}}}}});
    let refused = places.send("/v1/metadata", &secret, &wrong).await;
    assert!(refused["error"].as_str().is_some_and(|text| text.contains("Circle")), "{refused}");
}

/// Two rasters of two bands: the second band of one has no data.
const RASTERS: &str = "
    create extension postgis_raster schema gis;
    create table public.tiles (id int primary key, tenant text not null, tile gis.raster);
    alter table public.tiles owner to OWNER;
    set search_path = gis, public;
    insert into public.tiles
      select id, tenant, st_addband(st_addband(
        st_makeemptyraster(4, 4, x, 4, 1, -1, 0, 0, 4326), '8BUI'::text, 1, 0), '8BUI'::text, second, 0)
      from (values (1, 'a', 0, 1), (2, 'a', 10, 0), (3, 'a', 20, 1), (9, 'b', 0, 1)) as t (id, tenant, x, second);
    insert into public.tiles values (4, 'a', null);
    reset search_path;
    alter table public.tiles enable row level security;
    create policy tenant on public.tiles using (tenant = current_setting('app.tenant_id', true));
    grant select, insert, update on public.tiles to app_user;
";

#[tokio::test]
async fn rasters_are_hexadecimal_and_meet_places() {
    let db = TestDb::empty().await;
    let sql = [SCHEMA, RASTERS].concat().replace("OWNER", OWNER);
    db.client().await.batch_execute(&sql).await.expect("PostGIS has rasters");
    let server = Instance::start_with(&db, &[("HASURA_GRAPHQL_ADMIN_SECRET", ADMIN_SECRET)]);
    let places = Places { server, token: Token::new("user").tenant("a").bearer(), _db: db };
    let ids = async |condition: &str, variables: Value| -> Vec<i64> {
        let declared = match variables.as_object().is_some_and(|given| !given.is_empty()) {
            true => "($tile: raster, $place: geometry!, $band: Int)",
            false => "",
        };
        let query = format!(
            "query{declared} {{ tiles(where: {{tile: {{{condition}}}}}, order_by: {{id: asc}}) {{ id }} }}"
        );
        let answer = places.ask(&query, variables).await;
        let rows = answer["data"]["tiles"].as_array();
        let rows = rows.unwrap_or_else(|| panic!("{condition}: {answer}"));
        rows.iter().filter_map(|row| row["id"].as_i64()).collect()
    };
    // Shown as Postgres writes it, and taken so.
    let answer = places
        .ask("{ tiles(where: {id: {_in: [1, 4]}}, order_by: {id: asc}) { tile } }", json!({}))
        .await;
    let tile = answer["data"]["tiles"][0]["tile"].as_str().expect("a text").to_owned();
    assert!(tile.starts_with("01") && answer["data"]["tiles"][1]["tile"].is_null(), "{answer}");
    let write = "mutation ($tile: raster) { insert_tiles_one(object: {id: 5, tenant: \"a\", tile: $tile}) { tile } }";
    let written = places.ask(write, json!({"tile": tile})).await;
    assert_eq!(written["data"]["insert_tiles_one"]["tile"], tile, "{written}");

    let at = |x: f64| format!("{{type: \"Point\", coordinates: [{x}, 2]}}");
    assert_eq!(ids(&format!("_st_intersects_rast: \"{tile}\""), json!({})).await, [1, 5]);
    assert_eq!(ids(&format!("_eq: \"{tile}\""), json!({})).await, [1, 5]);
    assert_eq!(ids(&format!("_in: [\"{tile}\"]"), json!({})).await, [1, 5]);
    assert_eq!(ids("_is_null: true", json!({})).await, [4]);
    for (x, second, whole) in
        [(1.5, vec![1, 5], vec![1, 5]), (11.5, vec![], vec![2]), (50.0, vec![], vec![])]
    {
        let place = at(x);
        let band = |n: u32| format!("_st_intersects_nband_geom: {{nband: {n}, geommin: {place}}}");
        assert_eq!(ids(&band(1), json!({})).await, whole, "{x}");
        assert_eq!(ids(&band(2), json!({})).await, second, "{x}");
        let all = format!("_st_intersects_geom_nband: {{geommin: {place}}}");
        assert_eq!(ids(&all, json!({})).await, whole, "{x}");
        let null = format!("_st_intersects_geom_nband: {{geommin: {place}, nband: null}}");
        assert_eq!(ids(&null, json!({})).await, whole, "{x}");
        let one = format!("_st_intersects_geom_nband: {{geommin: {place}, nband: 2}}");
        assert_eq!(ids(&one, json!({})).await, second, "{x}");
    }
    let variables =
        json!({"tile": tile, "place": {"type": "Point", "coordinates": [1.5, 2]}, "band": 2});
    let all = "_st_intersects_rast: $tile, _st_intersects_nband_geom: {nband: 2, geommin: $place},
        _st_intersects_geom_nband: {nband: $band, geommin: $place}";
    assert_eq!(ids(all, variables).await, [1, 5]);

    for (condition, path, code, message) in [
        (
            "_st_intersects_rast: \"xyz\"",
            "_st_intersects_rast",
            "parse-failed",
            "invalid hexadecimal representation of raster well known binary format",
        ),
        (
            "_st_intersects_rast: 3",
            "_st_intersects_rast",
            "parse-failed",
            "A string is expected for type: raster",
        ),
        (
            "_st_intersects_rast: null",
            "_st_intersects_rast",
            "validation-failed",
            "unexpected null value for type \"raster\"",
        ),
        (
            "_st_intersects_nband_geom: {nband: 1}",
            "_st_intersects_nband_geom",
            "validation-failed",
            "missing required field \"geommin\"",
        ),
        (
            "_st_intersects_nband_geom: {geommin: \"POINT(1 1)\"}",
            "_st_intersects_nband_geom",
            "validation-failed",
            "missing required field \"nband\"",
        ),
        (
            "_st_intersects_nband_geom: {nband: 1.5, geommin: \"POINT(1 1)\"}",
            "_st_intersects_nband_geom.nband",
            "parse-failed",
            "",
        ),
        (
            "_st_intersects_geom_nband: {geommin: {type: \"Circle\"}}",
            "_st_intersects_geom_nband.geommin",
            "parse-failed",
            "\"Circle\" is no type of GeoJSON geometries",
        ),
        ("_st_intersects_geom_nband: []", "_st_intersects_geom_nband", "validation-failed", ""),
        (
            "_neq: \"00\"",
            "_neq",
            "validation-failed",
            "field \"_neq\" not found in type: 'raster_comparison_exp'",
        ),
        ("_gt: \"00\"", "_gt", "validation-failed", ""),
    ] {
        let query = format!("{{ tiles(where: {{tile: {{{condition}}}}}) {{ id }} }}");
        let answer = places.ask(&query, json!({})).await;
        let error = &answer["errors"][0];
        let told = (&error["extensions"]["path"], &error["extensions"]["code"]);
        let path = json!(format!("$.selectionSet.tiles.args.where.tile.{path}"));
        assert_eq!(told, (&path, &json!(code)), "{condition}: {answer}");
        assert!(message.is_empty() || error["message"] == message, "{condition}: {answer}");
    }
    // Hexadecimal, and still no raster: Postgres says so.
    let broken = places.ask("{ tiles(where: {tile: {_eq: \"00ff\"}}) { id } }", json!({})).await;
    assert_eq!(broken["errors"][0]["extensions"]["code"], "data-exception", "{broken}");
    assert!(
        broken["errors"][0]["message"].as_str().is_some_and(|told| told.contains("wkb")),
        "{broken}"
    );

    let described = places
        .ask("{ a: __type(name: \"st_intersects_nband_geom_input\") { kind inputFields { name type { kind ofType { name } } } }
               b: __type(name: \"st_intersects_geom_nband_input\") { inputFields { name type { kind name } } } }", json!({}))
        .await;
    let required = |name: &str| json!({"kind": "NON_NULL", "ofType": {"name": name}});
    assert_eq!(
        described["data"],
        json!({
            "a": {"kind": "INPUT_OBJECT", "inputFields": [
                {"name": "geommin", "type": required("geometry")}, {"name": "nband", "type": required("Int")}]},
            "b": {"inputFields": [
                {"name": "geommin", "type": {"kind": "NON_NULL", "name": null}},
                {"name": "nband", "type": {"kind": "SCALAR", "name": "Int"}}]},
        }),
        "{described}"
    );

    // In a permission, with a variable of the session.
    let secret = [("x-hasura-admin-secret", ADMIN_SECRET)];
    let steps = json!({"type": "bulk", "args": [
        {"type": "pg_track_table", "args": {"table": "tiles"}},
        {"type": "pg_create_select_permission", "args": {"table": "tiles", "role": "user", "permission":
            {"columns": "*", "filter": {"tile": {"_st_intersects_nband_geom": {"nband": 2, "geommin": "X-Hasura-Home"}}}}}},
    ]});
    let done = places.send("/v1/metadata", &secret, &steps).await;
    assert_eq!(done, json!([{"message": "success"}, {"message": "success"}]));
    let token = Token::new("user").tenant("a").claim("x-hasura-home", "SRID=4326;POINT(1.5 2)");
    let query = json!({"query": "{ tiles(order_by: {id: asc}) { id } }"});
    let answer = places.send("/v1/graphql", &[("authorization", &token.bearer())], &query).await;
    assert_eq!(answer, json!({"data": {"tiles": [{"id": 1}, {"id": 5}]}}));
    for wrong in [
        json!({"_st_intersects_nband_geom": {"geommin": "POINT(1 1)"}}),
        json!({"_st_intersects_rast": "no"}),
        json!({"_st_intersects_geom_nband": {"nband": 1}}),
        json!({"_st_intersects_geom_nband": {"geommin": "POINT(1 1)", "x": 1}}),
    ] {
        let step = json!({"type": "pg_create_select_permission", "args": {"table": "tiles", "role": "editor",
            "permission": {"columns": "*", "filter": {"tile": wrong}}}});
        let refused = places.send("/v1/metadata", &secret, &step).await;
        assert!(refused["error"].is_string(), "{refused}");
    }
}
