//! One table at a time.

use serde_json::json;

use super::{Library, user};

#[tokio::test]
async fn inserts_answer_what_they_wrote() {
    let library = Library::new().await;
    let user = user();
    let answer = library
        .data(
            &user,
            r#"mutation {
                 insert_plain(objects: [{note: "a"}, {}, {note: null}]) {
                   __typename affected_rows again: affected_rows
                   returning { id note kind: __typename }
                 }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({"insert_plain": {
            "__typename": "plain_mutation_response", "affected_rows": 3, "again": 3,
            "returning": [
                {"id": 1, "note": "a", "kind": "plain"},
                {"id": 2, "note": "none", "kind": "plain"},
                {"id": 3, "note": null, "kind": "plain"},
            ],
        }})
    );
    let one = library.data(&user, "mutation { insert_plain_one(object: {}) { id note } }").await;
    assert_eq!(one, json!({"insert_plain_one": {"id": 4, "note": "none"}}));
    let bare = library
        .data(
            &user,
            "mutation { insert_plain(objects: [{}, {}]) { affected_rows returning { id } } }",
        )
        .await;
    assert_eq!(
        bare["insert_plain"],
        json!({"affected_rows": 2, "returning": [{"id": 5}, {"id": 6}]})
    );
    let none = library
        .data(&user, "mutation { insert_plain(objects: []) { n: affected_rows returning { id } __typename } }")
        .await;
    assert_eq!(
        none["insert_plain"],
        json!({"n": 0, "returning": [], "__typename": "plain_mutation_response"})
    );
    assert_eq!(library.sql("select count(*) from plain"), "6");
}

#[tokio::test]
async fn upserts_update_or_leave_alone() {
    let library = Library::new().await;
    let user = user();
    let upsert = |columns: &str, filter: &str| {
        format!(
            r#"mutation {{ insert_authors(objects: [{{id: 1, name: "Ada L.", bio: "b"}}],
                 on_conflict: {{constraint: authors_pkey, update_columns: [{columns}] {filter}}}) {{
                 affected_rows returning {{ id name bio }} }} }}"#
        )
    };
    let answer = library.data(&user, &upsert("name, bio, name", "")).await;
    assert_eq!(
        answer["insert_authors"],
        json!({"affected_rows": 1, "returning": [{"id": 1, "name": "Ada L.", "bio": "b"}]})
    );
    let nothing = json!({"affected_rows": 0, "returning": []});
    assert_eq!(library.data(&user, &upsert("", "")).await["insert_authors"], nothing);
    let answer = library.data(&user, &upsert("name", r#"where: {name: {_eq: "Alan"}}"#)).await;
    assert_eq!(answer["insert_authors"], nothing);
    let one = library
        .data(
            &user,
            "mutation { insert_authors_one(object: {id: 1}, on_conflict: {constraint: authors_pkey}) { id } }",
        )
        .await;
    assert_eq!(one, json!({"insert_authors_one": null}));
    let error = library
        .error(&user, "mutation { insert_authors(objects: [], on_conflict: {update_columns: []}) { affected_rows } }")
        .await;
    assert_eq!(
        error,
        (
            "validation-failed".into(),
            "$.selectionSet.insert_authors.args.on_conflict.constraint".into(),
            "missing required field \"constraint\"".into()
        )
    );
}

#[tokio::test]
async fn updates_have_all_operators() {
    let library = Library::new().await;
    let user = user();
    let answer = library
        .data(
            &user,
            r#"mutation {
                 a: update_kinds(where: {id: {_eq: 1}}, _set: {label: "x", numbers: "{7}", words: ["a", "b"]},
                     _inc: {exact: 0.000001, cash: -2.5, count: -1}, _append: {docb: {d: [1, {e: "f"}]}}) {
                   affected_rows returning { label numbers words exact cash count docb } }
                 b: update_kinds(where: {id: {_eq: 1}}, _prepend: {docb: {z: 1}}) { returning { docb } }
                 c: update_kinds(where: {id: {_eq: 1}}, _delete_at_path: {docb: ["b", "c"]}) { returning { docb } }
                 d: update_kinds(where: {id: {_eq: 1}}, _delete_key: {docb: "a"}) { returning { docb } }
                 e: update_kinds(where: {id: {_eq: 1}}, _set: {docb: [1, 2, 3]}) { affected_rows }
                 f: update_kinds(where: {id: {_eq: 1}}, _delete_elem: {docb: -1}) { returning { docb(path: "[0]") all: docb } }
                 g: update_kinds_by_pk(pk_columns: {id: 1}, _set: {docb: null}) { id docb }
                 h: update_kinds_by_pk(pk_columns: {id: 99}, _set: {docb: null}) { id }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "a": {"affected_rows": 1, "returning": [{
                "label": "x", "numbers": [7], "words": ["a", "b"], "exact": 1.500001, "cash": "$7.50", "count": 2,
                "docb": {"a": [1, 2, 3], "b": {"c": 1}, "d": [1, {"e": "f"}]},
            }]},
            "b": {"returning": [{"docb": {"a": [1, 2, 3], "b": {"c": 1}, "d": [1, {"e": "f"}], "z": 1}}]},
            "c": {"returning": [{"docb": {"a": [1, 2, 3], "b": {}, "d": [1, {"e": "f"}], "z": 1}}]},
            "d": {"returning": [{"docb": {"b": {}, "d": [1, {"e": "f"}], "z": 1}}]},
            "e": {"affected_rows": 1},
            "f": {"returning": [{"docb": 1, "all": [1, 2]}]},
            "g": {"id": 1, "docb": null},
            "h": null,
        })
    );
    let nothing = library
        .data(
            &user,
            "mutation { update_kinds(where: {}, _set: {}) { affected_rows returning { id } } }",
        )
        .await;
    assert_eq!(nothing["update_kinds"], json!({"affected_rows": 0, "returning": []}));
    let nothing = library
        .data(&user, "mutation { update_kinds_by_pk(pk_columns: {id: 1}, _inc: {}) { id } }")
        .await;
    assert_eq!(nothing, json!({"update_kinds_by_pk": null}));
}

#[tokio::test]
async fn updates_of_many_answer_one_by_one() {
    let library = Library::new().await;
    let answer = library
        .data(
            &user(),
            r#"mutation { update_books_many(updates: [
                 {where: {id: {_eq: 1}}, _set: {title: "One"}},
                 {where: {id: {_gt: 100}}, _set: {title: "None"}},
                 {where: {}, _set: {}},
                 {where: {title: {_eq: "One"}}, _inc: {price: 1}}
               ]) { affected_rows returning { title price author { name } } } }"#,
        )
        .await;
    assert_eq!(
        answer["update_books_many"],
        json!([
            {"affected_rows": 1, "returning": [{"title": "One", "price": 10.00, "author": {"name": "Ada"}}]},
            {"affected_rows": 0, "returning": []},
            {"affected_rows": 0, "returning": []},
            {"affected_rows": 1, "returning": [{"title": "One", "price": 11.00, "author": {"name": "Ada"}}]},
        ])
    );
    let (code, path, message) = library
        .error(
            &user(),
            "mutation { update_books_many(updates: [{_set: {title: \"x\"}}]) { affected_rows } }",
        )
        .await;
    assert_eq!(
        (code.as_str(), path.as_str(), message.as_str()),
        (
            "validation-failed",
            "$.selectionSet.update_books_many.args.updates[0].where",
            "missing required field \"where\""
        )
    );
}

#[tokio::test]
async fn answers_show_the_state_after_the_write() {
    let library = Library::new().await;
    let user = user();
    let answer = library
        .data(
            &user,
            r#"mutation {
                 insert_books_one(object: {title: "New", author_id: 1, price: 1}) {
                   title
                   author { name books_aggregate { aggregate { count } } books(order_by: {id: asc}) { title } book_count }
                 }
                 update_authors(where: {id: {_eq: 1}}, _set: {name: "A"}) {
                   returning { name books(limit: 1, order_by: {id: asc}) { author { name } } book_count }
                 }
                 delete_books(where: {author: {name: {_eq: "A"}}, title: {_eq: "New"}}) {
                   affected_rows
                   returning { title author { name books_aggregate { aggregate { count } } } }
                 }
                 delete_authors_by_pk(id: 3) { name books { id } }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "insert_books_one": {"title": "New", "author": {
                "name": "Ada", "books_aggregate": {"aggregate": {"count": 3}},
                "books": [{"title": "Notes"}, {"title": "Engines"}, {"title": "New"}], "book_count": 3,
            }},
            "update_authors": {"returning": [{"name": "A", "books": [{"author": {"name": "A"}}], "book_count": 3}]},
            "delete_books": {"affected_rows": 1, "returning": [
                {"title": "New", "author": {"name": "A", "books_aggregate": {"aggregate": {"count": 2}}}},
            ]},
            "delete_authors_by_pk": {"name": "Grace", "books": []},
        })
    );
}

#[tokio::test]
async fn every_type_survives_the_way_through_a_second_statement() {
    let library = Library::new().await;
    let user = user();
    let object = r#"{
        id: 2, small: -32768, big: "9223372036854775807", exact: 12345678901234.123456, single: 1.5, double: 0.1,
        flag: true, label: "l'\"\\", fixed: "ab", raw: "\\xdeadbeef", day: "2024-02-29",
        moment: "2024-02-29T12:00:00.123456+02:00", local: "infinity", clock: "12:34:56.789", span: "1 day 02:03:04",
        doc: {b: 1, a: [null, "x"]}, docb: {b: 1.10}, numbers: [[1, 2], [3, null]], words: ["a b", "c\"d", ""], state: "busy",
        states: ["calm", "busy"], net: "10.0.0.0/8", spot: "(1,2)", period: "[1,5)", bits: "10101", cash: 12.34,
        key: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", count: 7, words_of: "fat cat", place: "(Main,12345)"}"#;
    let columns = "id small big exact single double flag label fixed raw day moment local clock span doc docb \
                   numbers words state states net spot period bits cash key count words_of place";
    let plain = library
        .data(&user, &format!("mutation {{ insert_kinds_one(object: {object}) {{ {columns} }} }}"))
        .await;
    let again = library
        .data(
            &user,
            &format!(
                "mutation {{ update_kinds(where: {{id: {{_eq: 2}}}}, _set: {{id: 2}}) {{
                   returning {{ {columns} kinds {{ id }} }} }} }}"
            ),
        )
        .await;
    let mut again = again["update_kinds"]["returning"][0].clone();
    assert_eq!(again.as_object_mut().unwrap().remove("kinds"), Some(json!(null)));
    assert_eq!(plain["insert_kinds_one"], again);
    let direct = library.data(&user, &format!("{{ kinds_by_pk(id: 2) {{ {columns} }} }}")).await;
    assert_eq!(plain["insert_kinds_one"], direct["kinds_by_pk"]);
}
