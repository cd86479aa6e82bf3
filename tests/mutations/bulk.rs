//! Many rows in variables.

use serde_json::{Value, json};

use super::{Library, session, user, writer};

const INSERT: &str = "mutation($rows: [kinds_insert_input!]!) {
  insert_kinds(objects: $rows) { affected_rows returning { id } } }";

#[tokio::test]
async fn a_thousand_rows_are_one_plan_and_one_statement() {
    let library = Library::new().await;
    let user = user();
    let rows = |from: i64, count: i64| -> Value {
        let row = |id: i64| {
            json!({
                "id": id, "label": format!("l'{id}\"\\{{}},"), "flag": id % 2 == 0, "exact": id,
                "docb": {"n": id, "t": "x"}, "numbers": [id, null, 2],
                "words": if id % 3 == 0 { json!(null) } else { json!(["a b", ""]) },
                "state": "calm", "moment": "2024-01-01T00:00:00Z", "double": 0.1, "place": "(Main,1)",
            })
        };
        (from..from + count).map(row).collect()
    };
    let mut from = 10;
    for count in [1000, 1, 17, 500] {
        let answer = library.ask(&user, INSERT, json!({"rows": rows(from, count)})).await;
        assert_eq!(answer["insert_kinds"]["affected_rows"], count, "{answer}");
        let ids: Vec<Value> = (from..from + count).map(|id| json!({"id": id})).collect();
        assert_eq!(answer["insert_kinds"]["returning"], Value::Array(ids));
        from += count;
    }
    let stats = library.engine.plan_cache_stats();
    assert_eq!((stats.plans, stats.hits), (1, 3), "{stats:?}");
    assert_eq!(
        library.sql(
            r#"select count(*), bool_and(label = 'l''' || id || '"\{},'), bool_and(flag = (id % 2 = 0)),
                    bool_and(exact = id), bool_and(docb = jsonb_build_object('n', id, 't', 'x')),
                    bool_and(numbers = array[id, null, 2]), bool_and(state = 'calm' and place = row('Main', 1)::address),
                    bool_and(case when id % 3 = 0 then words is null else words = '{a b,""}' end)
             from kinds where id >= 10"#
        ),
        "1518|t|t|t|t|t|t|t"
    );
}

#[tokio::test]
async fn absent_keys_keep_defaults_and_nulls_are_nulls() {
    let library = Library::new().await;
    let user = user();
    let query = "mutation($rows: [plain_insert_input!]!) { insert_plain(objects: $rows) { returning { id note } } }";
    let rows = json!([{"note": "a"}, {}, {"note": null}, {"id": 100}, {"note": "b", "id": 50}]);
    let answer = library.ask(&user, query, json!({"rows": rows})).await;
    assert_eq!(
        answer["insert_plain"]["returning"],
        json!([
            {"id": 1, "note": "a"}, {"id": 2, "note": "none"}, {"id": 3, "note": null},
            {"id": 100, "note": "none"}, {"id": 50, "note": "b"},
        ])
    );
    // A column without a default that is left out is null, and costs no plan.
    let query = "mutation($rows: [authors_insert_input!]!) { insert_authors(objects: $rows) { returning { name bio registered } } }";
    for rows in [
        json!([{"name": "p", "bio": "b"}, {"name": "q"}, {"bio": "only"}]),
        json!([{"name": "r", "bio": null}, {"bio": "x"}]),
    ] {
        let answer = library.ask(&user, query, json!({"rows": rows})).await;
        assert!(answer.get("errors").is_none(), "{answer}");
    }
    assert_eq!(
        library.sql("select string_agg(coalesce(name, '-') || coalesce(bio, '-'), ' ' order by id) from authors where id > 3"),
        "pb q- -only r- -x"
    );
    assert_eq!(library.engine.plan_cache_stats().hits, 1);
    let empty = library.ask(&user, query, json!({"rows": []})).await;
    assert_eq!(empty, json!({"insert_authors": {"returning": []}}));
    let single = library.ask(&user, query, json!({"rows": {"name": "one"}})).await;
    assert_eq!(single["insert_authors"]["returning"][0]["name"], "one");
}

#[tokio::test]
async fn what_is_wrong_in_many_rows_has_its_place() {
    let library = Library::new().await;
    let user = user();
    for (row, path, message) in [
        (
            json!({"id": true}),
            ".id",
            "parsing Integer expected for input type: integer failed, expected Number, but encountered Boolean",
        ),
        (json!({"id": null}), ".id", "unexpected null value for type \"Int\""),
        (
            json!({"id": 1, "none": 1}),
            ".none",
            "field \"none\" not found in type: 'kinds_insert_input'",
        ),
        (
            json!({"id": 3_000_000_000_u32}),
            ".id",
            "The value 3.0e9 lies outside the bounds or is not an integer.  Maybe it is a float, or is there integer overflow?",
        ),
        (
            json!({"id": 7, "label": "a\u{0}b"}),
            ".label",
            "a text must not hold the character NUL (U+0000)",
        ),
        (json!(7), "", "expected an object for type \"kinds_insert_input\", but found a number"),
        (json!(null), "", "expected an object for type \"kinds_insert_input\", but found null"),
    ] {
        let rows = json!([{"id": 5}, row]);
        let (_, at, said) = library.error_of(&user, INSERT, json!({"rows": rows})).await;
        let expected = format!("$.selectionSet.insert_kinds.args.objects[1]{path}");
        assert_eq!((at, said.as_str()), (expected, message));
    }
    let (code, path, message) =
        library.error_of(&user, INSERT, json!({"rows": [{"id": 8, "key": "zz"}]})).await;
    assert_eq!(
        (code.as_str(), path.as_str(), message.as_str()),
        (
            "data-exception",
            "$.selectionSet.insert_kinds.args.objects",
            "invalid input syntax for type uuid: \"zz\""
        )
    );
    let many: Vec<Value> = (0..10_001).map(|id| json!({"id": id})).collect();
    let (code, path, message) = library.error_of(&user, INSERT, json!({"rows": many})).await;
    assert_eq!(
        (code.as_str(), path.as_str(), message.as_str()),
        (
            "node-limit-exceeded",
            "$.selectionSet.insert_kinds.args.objects",
            "an insert takes at most 10000 rows at once (limits.insert_rows); send them in several requests"
        )
    );
    assert_eq!(library.sql("select count(*) from kinds"), "1");
}

#[tokio::test]
async fn many_rows_pass_checks_take_presets_and_upsert() {
    let library = Library::new().await;
    let query = "mutation($rows: [books_insert_input!]!) {
        insert_books(objects: $rows, on_conflict: {constraint: books_pkey, update_columns: [title]}) {
          affected_rows returning { title tags updated_by author { name } } } }";
    let rows = json!([
        {"title": "x", "author_id": 1, "id": 70},
        {"title": "Notes!", "author_id": 1, "id": 1},
    ]);
    let answer = library.ask(&writer("1"), query, json!({"rows": rows})).await;
    assert_eq!(
        answer["insert_books"],
        json!({"affected_rows": 2, "returning": [
            {"title": "x", "tags": ["new"], "updated_by": null, "author": {"name": "Ada"}},
            {"title": "Notes!", "tags": null, "updated_by": 1, "author": {"name": "Ada"}},
        ]})
    );
    let rows = json!([
        {"title": "y", "author_id": 1, "id": 71},
        {"title": "z", "author_id": 2, "id": 72},
    ]);
    let (code, path, _) = library.error_of(&writer("1"), query, json!({"rows": rows})).await;
    assert_eq!(
        (code.as_str(), path.as_str()),
        ("permission-error", "$.selectionSet.insert_books.args.objects")
    );
    // The check of a role that reads nothing.
    library.sql("create policy anyone on shelf for insert to app_user with check (true)");
    let query = "mutation($rows: [shelf_insert_input!]!) { insert_shelf(objects: $rows) { affected_rows } }";
    let writer = session("writer", &[("x-hasura-tenant-id", "1")]);
    let shelf = |label: &str| {
        json!({"rows": [
            {"id": 8, "tenant": 2, "label": "fine"},
            {"id": 9, "tenant": 3, "label": label},
        ]})
    };
    let (code, _, _) = library.error_of(&writer, query, shelf("bad")).await;
    assert_eq!(code, "permission-error");
    let answer = library.ask(&writer, query, shelf("good")).await;
    assert_eq!(answer["insert_shelf"], json!({"affected_rows": 2}));
}

#[tokio::test]
async fn rows_inside_of_rows_come_in_variables_too() {
    let library = Library::new().await;
    let user = user();
    let query = "mutation($author: authors_insert_input!) { insert_authors_one(object: $author) {
        name books(order_by: {id: asc}) { title reviews_aggregate { aggregate { count } } } } }";
    for count in [1_usize, 40] {
        let books: Vec<Value> =
            (0..count).map(|n| json!({"title": format!("b{n}"), "price": n})).collect();
        let author = json!({"name": format!("many {count}"), "books": {"data": books}});
        let answer = library.ask(&user, query, json!({"author": author})).await;
        let books = answer["insert_authors_one"]["books"].as_array();
        assert_eq!(books.map(Vec::len), Some(count), "{answer}");
    }
    assert_eq!(library.engine.plan_cache_stats().hits, 1);
    let deep: Vec<Value> = (0..30)
        .map(|n| {
            let reviews = json!([{"stars": n}, {"stars": n + 1}]);
            json!({"title": format!("d{n}"), "reviews": {"data": reviews}})
        })
        .collect();
    let author = json!({"name": "deep", "books": {"data": deep}});
    let answer = library.ask(&user, query, json!({"author": author})).await;
    let books = answer["insert_authors_one"]["books"].as_array().unwrap().clone();
    assert_eq!(books.len(), 30);
    assert!(books.iter().all(|book| book["reviews_aggregate"]["aggregate"]["count"] == 2));
}

#[tokio::test]
async fn variables_stand_inside_of_json() {
    let library = Library::new().await;
    let query = r#"mutation($t: String, $n: Int, $big: numeric, $j: jsonb, $b: Boolean, $none: jsonb, $uuid: uuid,
                            $d: String = "def\"ault") {
        insert_kinds_one(object: {id: 9, docb: {
          t: $t, list: [$n, $big, {j: $j}], b: $b, none: $none, uuid: $uuid, d: $d, e: WORD, x: null
        }}) { docb } }"#;
    let variables = |n: u32| {
        json!({"t": "q\"\\", "n": n, "big": 12.50, "j": {"deep": [1]}, "b": n == 1,
               "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"})
    };
    let expected = |n: u32| {
        json!({"t": "q\"\\", "list": [n, 12.50, {"j": {"deep": [1]}}], "b": n == 1, "none": null,
               "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "d": "def\"ault", "e": "WORD", "x": null})
    };
    for n in [1, 2, 2] {
        library.sql("delete from kinds where id = 9");
        let answer = library.ask(&user(), query, variables(n)).await;
        assert_eq!(answer["insert_kinds_one"]["docb"], expected(n), "{answer}");
    }
}
