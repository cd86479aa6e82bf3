//! Permissions of metadata: gate two.

use serde_json::json;

use super::{Library, session, writer};

#[tokio::test]
async fn a_check_that_fails_refuses_everything() {
    let library = Library::new().await;
    let insert = |id: u32, registered: bool| {
        format!(
            "mutation {{ insert_authors(objects: [{{id: {id}, name: \"n{id}\", registered: {registered}}}]) {{
               affected_rows returning {{ id name registered }} }} }}"
        )
    };
    let answer = library.data(&writer("10"), &insert(10, false)).await;
    assert_eq!(
        answer["insert_authors"],
        json!({"affected_rows": 1, "returning": [{"id": 10, "name": "n10", "registered": false}]})
    );
    let failed = |path: &str| {
        (
            "permission-error".to_owned(),
            path.to_owned(),
            "check constraint of an insert/update permission has failed".to_owned(),
        )
    };
    let objects = "$.selectionSet.insert_authors.args.objects";
    assert_eq!(library.error(&writer("11"), &insert(12, false)).await, failed(objects));
    assert_eq!(library.error(&writer("12"), &insert(12, true)).await, failed(objects));
    // One bad row of many, and one that is unknown.
    let query = r#"mutation { insert_authors(objects: [{id: 13, registered: false}, {id: 14, registered: false}]) { affected_rows } }"#;
    assert_eq!(library.error(&writer("13"), query).await, failed(objects));
    let query =
        r#"mutation { insert_authors(objects: [{name: null}, {name: "x"}]) { affected_rows } }"#;
    assert_eq!(library.error(&session("dropper", &[]), query).await, failed(objects));
    // Of an update it stands for the whole.
    let query = r#"mutation { update_authors(where: {}, _set: {name: ""}) { affected_rows } }"#;
    assert_eq!(library.error(&writer("1"), query).await, failed("$"));
    assert_eq!(library.sql("select count(*) from authors where id > 10 or name = ''"), "0");
}

#[tokio::test]
async fn filters_hide_rows_from_updates_and_deletes() {
    let library = Library::new().await;
    let answer = library
        .data(
            &writer("1"),
            r#"mutation {
                 other: update_authors(where: {id: {_eq: 2}}, _set: {bio: "b"}) { affected_rows returning { id } }
                 all: update_authors(where: {}, _set: {bio: "b"}) { affected_rows returning { id bio } }
                 key: update_authors_by_pk(pk_columns: {id: 2}, _set: {bio: "c"}) { id }
                 delete_authors(where: {}) { affected_rows }
                 delete_books(where: {}) { affected_rows returning { author_id } }
                 delete_books_by_pk(id: 3) { id }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "other": {"affected_rows": 0, "returning": []},
            "all": {"affected_rows": 1, "returning": [{"id": 1, "bio": "b"}]},
            "key": null,
            "delete_authors": {"affected_rows": 0},
            "delete_books": {"affected_rows": 2, "returning": [{"author_id": 1}, {"author_id": 1}]},
            "delete_books_by_pk": null,
        })
    );
}

#[tokio::test]
async fn presets_are_written_whatever_is_sent() {
    let library = Library::new().await;
    let answer = library
        .data(
            &writer("1"),
            r#"mutation {
                 insert_books_one(object: {title: "New", author_id: 1}) { title tags updated_by }
                 update_books(where: {title: {_eq: "New"}}, _set: {price: 3}) { returning { title price tags updated_by } }
                 insert_books(objects: [{id: 1, title: "Notes II", author_id: 1}],
                     on_conflict: {constraint: books_pkey, update_columns: [title]}) {
                   affected_rows returning { title tags updated_by } }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "insert_books_one": {"title": "New", "tags": ["new"], "updated_by": null},
            "update_books": {"returning": [{"title": "New", "price": 3.00, "tags": ["new"], "updated_by": 1}]},
            "insert_books": {"affected_rows": 1, "returning": [{"title": "Notes II", "tags": null, "updated_by": 1}]},
        })
    );
    // They may not be given, and a role may have nothing else to set.
    let (code, path, message) = library
        .error(
            &writer("1"),
            r#"mutation { insert_books_one(object: {title: "x", tags: "{}"}) { id } }"#,
        )
        .await;
    assert_eq!(
        (code.as_str(), path.as_str(), message.as_str()),
        (
            "validation-failed",
            "$.selectionSet.insert_books_one.args.object.tags",
            "field \"tags\" not found in type: 'books_insert_input'"
        )
    );
    let (code, path, message) = library
        .error(
            &session("writer", &[]),
            r#"mutation { update_books(where: {}, _set: {price: 3}) { affected_rows } }"#,
        )
        .await;
    assert_eq!((code.as_str(), path.as_str()), ("not-found", "$"), "{message}");
    assert_eq!(message, "missing session variable: \"x-hasura-user-id\"");
}

#[tokio::test]
async fn an_upsert_takes_the_filter_and_check_of_updates() {
    let library = Library::new().await;
    let upsert = |id: u32, name: &str| {
        format!(
            "mutation {{ insert_authors(objects: [{{id: {id}, name: \"{name}\", registered: false}}],
               on_conflict: {{constraint: authors_pkey, update_columns: [name]}}) {{ affected_rows }} }}"
        )
    };
    let rows = |n: u32| json!({"insert_authors": {"affected_rows": n}});
    assert_eq!(library.data(&writer("1"), &upsert(1, "Ada!")).await, rows(1));
    // The row of another is left alone.
    assert_eq!(library.data(&writer("1"), &upsert(2, "mine")).await, rows(0));
    let (code, path, _) = library.error(&writer("1"), &upsert(1, "")).await;
    assert_eq!(
        (code.as_str(), path.as_str()),
        ("permission-error", "$.selectionSet.insert_authors.args.objects")
    );
    assert_eq!(
        library.sql("select string_agg(name, ',' order by id) from authors"),
        "Ada!,Alan,Grace"
    );
    // A role that may update no column can only leave rows alone.
    let (_, path, message) = library
        .error(
            &session("writer", &[("x-hasura-user-id", "1")]),
            r#"mutation { insert_books(objects: [{title: "x"}], on_conflict: {constraint: books_pkey, update_columns: [nothing]}) { affected_rows } }"#,
        )
        .await;
    assert_eq!(path, "$.selectionSet.insert_books.args.on_conflict.update_columns[0]", "{message}");
}

#[tokio::test]
async fn checks_look_at_other_tables_and_at_rows_written_a_moment_ago() {
    let library = Library::new().await;
    let answer = library
        .data(
            &writer("1"),
            r#"mutation {
                 insert_reviews(objects: [{book_id: 1, stars: 2}]) { affected_rows returning { book { title } } }
                 insert_books_one(object: {title: "With", author_id: 1, reviews: {data: [{stars: 1}]}}) {
                   title reviews { stars } }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "insert_reviews": {"affected_rows": 1, "returning": [{"book": {"title": "Notes"}}]},
            "insert_books_one": {"title": "With", "reviews": [{"stars": 1}]},
        })
    );
    let (code, path, _) = library
        .error(
            &writer("1"),
            "mutation { insert_reviews(objects: [{book_id: 3, stars: 2}]) { affected_rows } }",
        )
        .await;
    assert_eq!(
        (code.as_str(), path.as_str()),
        ("permission-error", "$.selectionSet.insert_reviews.args.objects")
    );
}

#[tokio::test]
async fn roots_are_there_for_who_may_use_them() {
    let library = Library::new().await;
    let no_mutations = ("validation-failed".into(), "$".into(), "no mutations exist".into());
    let mutation = r#"mutation { insert_authors(objects: [{name: "x"}]) { affected_rows } }"#;
    for role in ["reader", "backend", "unmapped"] {
        assert_eq!(library.error(&session(role, &[]), mutation).await, no_mutations, "{role}");
    }
    let mut backend = session("backend", &[]);
    backend.backend = true;
    assert_eq!(
        library.data(&backend, mutation).await["insert_authors"],
        json!({"affected_rows": 1})
    );
    assert_eq!(library.sql("select registered from authors where name = 'x'"), "t");
    let (_, path, message) =
        library.error(&backend, "mutation { delete_authors(where: {}) { affected_rows } }").await;
    assert_eq!(path, "$.selectionSet.delete_authors");
    assert_eq!(message, "field \"delete_authors\" not found in type: 'mutation_root'");
    // Without a right to select there is nothing to return, and no row to name.
    let (_, _, message) = library
        .error(
            &session("dropper", &[]),
            r#"mutation { insert_authors(objects: [{name: "y"}]) { affected_rows returning { name } } }"#,
        )
        .await;
    assert_eq!(message, "field \"returning\" not found in type: 'authors_mutation_response'");
    let counted = library.data(&session("dropper", &[]), mutation.replace('x', "z").as_str()).await;
    assert_eq!(counted["insert_authors"], json!({"affected_rows": 1}));
}

#[tokio::test]
async fn volatile_functions_are_mutations() {
    let library = Library::new().await;
    let caller = session("caller", &[]);
    let answer = library
        .data(
            &caller,
            r#"mutation {
                 rename_author(args: {author: 1, new_name: "Lady", suffix: " A"}, where: {id: {_gt: 0}}) { id name }
                 add_author(args: {name: "Fresh"}) { name }
                 __typename
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "rename_author": [{"id": 1, "name": "Lady A"}],
            "add_author": {"name": "Fresh"},
            "__typename": "mutation_root",
        })
    );
    assert_eq!(library.sql("select bio from authors where id = 1"), "caller");
    let (_, _, message) =
        library.error(&writer("1"), r#"mutation { add_author(args: {name: "x"}) { id } }"#).await;
    assert_eq!(message, "field \"add_author\" not found in type: 'mutation_root'");
    // They are no queries.
    let (_, _, message) =
        library.error(&caller, r#"{ add_author(args: {name: "x"}) { id } }"#).await;
    assert_eq!(message, "field \"add_author\" not found in type: 'query_root'");
}

#[tokio::test]
async fn policies_of_select_matter_only_where_rows_are_read() {
    let library = Library::new().await;
    // The check of this role is decided by what is sent; the row is of another tenant, and hidden.
    library.sql("create policy anyone on shelf for insert to app_user with check (true)");
    let insert = |label: &str| {
        format!(
            "mutation {{ insert_shelf(objects: [{{id: 9, tenant: 2, label: \"{label}\"}}]) {{ affected_rows }} }}"
        )
    };
    let answer = library.data(&writer("1"), &insert("good")).await;
    assert_eq!(answer["insert_shelf"], json!({"affected_rows": 1}));
    let (code, _, message) = library.error(&writer("1"), &insert("bad")).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("permission-error", "check constraint of an insert/update permission has failed")
    );
    assert_eq!(library.sql("select count(*) from shelf where id = 9"), "1");
}

#[tokio::test]
async fn a_role_may_have_nothing_but_presets() {
    let library = Library::new().await;
    let stamper = session("stamper", &[("x-hasura-user-id", "7")]);
    let answer = library
        .data(
            &stamper,
            r#"mutation {
                 update_books(where: {id: {_eq: 1}}) { affected_rows returning { updated_by } }
                 insert_books(objects: [{}, {}]) { affected_rows returning { updated_by } }
                 insert_books_one(object: {}, on_conflict: {constraint: books_pkey, update_columns: []}) { updated_by }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "update_books": {"affected_rows": 1, "returning": [{"updated_by": 7}]},
            "insert_books": {"affected_rows": 2, "returning": [{"updated_by": 7}, {"updated_by": 7}]},
            "insert_books_one": {"updated_by": 7},
        })
    );
    let (_, path, message) = library
        .error(
            &stamper,
            "mutation { insert_books_one(object: {}, on_conflict: {constraint: books_pkey, update_columns: [_PLACEHOLDER]}) { id } }",
        )
        .await;
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("$.selectionSet.insert_books_one.args.on_conflict", "erroneous column name")
    );
    let sdl = library.engine.sdl(&stamper).expect("describes");
    assert!(sdl.contains("input books_insert_input {"), "{sdl}");
    assert!(sdl.contains("update_columns: [books_update_column!]! = []"), "{sdl}");
}

/// A role that may not select has its checks made on the values that it sends,
/// but only where these are what is stored.
#[tokio::test]
async fn a_check_holds_for_the_row_as_it_is_stored() {
    let library = Library::new().await;
    let blind = session("blind", &[("x-hasura-user-id", "1")]);
    let failed = |root: &str| {
        (
            "permission-error".to_owned(),
            format!("$.selectionSet.{root}.args.objects"),
            "check constraint of an insert/update permission has failed".to_owned(),
        )
    };
    // The row that was there before belongs to somebody else.
    let upsert = |id: u32| {
        format!(
            r#"mutation {{ insert_pages(objects: [{{id: {id}, owner: 1, label: "taken"}}],
                 on_conflict: {{constraint: pages_pkey, update_columns: [label]}}) {{ affected_rows }} }}"#
        )
    };
    assert_eq!(library.error(&blind, &upsert(1)).await, failed("insert_pages"));
    assert_eq!(library.sql("select label from pages"), "of another");
    for _ in 0..2 {
        let answer = library.data(&blind, &upsert(10)).await;
        assert_eq!(answer["insert_pages"]["affected_rows"], 1);
    }
    // The column rounds.
    let bid = |amount: &str| {
        format!(
            "mutation {{ insert_bids(objects: [{{owner: 1, amount: {amount}}}]) {{ affected_rows }} }}"
        )
    };
    assert_eq!(library.error(&blind, &bid("5.001")).await, failed("insert_bids"));
    assert_eq!(library.data(&blind, &bid("5.01")).await["insert_bids"]["affected_rows"], 1);
    // A trigger changes the row.
    let query = "mutation { insert_takeovers(objects: [{owner: 1}]) { affected_rows } }";
    assert_eq!(library.error(&blind, query).await, failed("insert_takeovers"));
    assert_eq!(library.sql("select count(*) from takeovers"), "0");
}

/// A row in a partition does not tell whether it was there before, so both
/// checks hold for it.
#[tokio::test]
async fn an_upsert_into_partitions_passes_both_checks() {
    let library = Library::new().await;
    let blind = session("blind", &[("x-hasura-user-id", "1")]);
    let upsert = |label: &str| {
        format!(
            r#"mutation {{ insert_sections_one(object: {{id: 1, owner: 1, label: "{label}"}},
                 on_conflict: {{constraint: sections_pkey, update_columns: [label]}}) {{ label }} }}"#
        )
    };
    for label in ["new", "changed"] {
        let answer = library.data(&blind, &upsert(label)).await;
        assert_eq!(answer, json!({"insert_sections_one": {"label": label}}));
    }
    let (code, ..) = library.error(&blind, &upsert("bad")).await;
    assert_eq!(code, "permission-error");
    assert_eq!(library.sql("select label from sections"), "changed");
}
