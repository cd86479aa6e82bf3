//! Rows that belong to an updated row, changed with it.

use ringfence::engine::GraphqlRequest;
use serde_json::{Value, json};

use super::{Library, session, user, writer};

fn error(code: &str, path: &str, message: &str) -> (String, String, String) {
    (code.into(), path.into(), message.into())
}

/// A document that changes the books of the first author.
fn books_of_ada(changes: &str) -> String {
    format!(
        "mutation {{ update_authors_by_pk(pk_columns: {{id: 1}}, _nested: {{books: {changes}}}) {{
           id books(order_by: {{id: asc}}) {{ id title price }} }} }}"
    )
}

#[tokio::test]
async fn children_are_deleted_then_updated_then_inserted() {
    let library = Library::new().await;
    let answer = library
        .data(
            &user(),
            r#"mutation { update_authors_by_pk(
                 pk_columns: {id: 1}
                 _set: {bio: "known"}
                 _nested: {
                   books: {
                     insert: {data: [
                       {title: "Notes", price: 3, reviews: {data: [{stars: 1}, {stars: 2}]}},
                       {title: "Sketches"}
                     ]}
                     update: [
                       {where: {title: {_eq: "Engines"}}, _set: {title: "Analytical"}}
                       {where: {title: {_eq: "Analytical"}}, _inc: {price: 5}}
                     ]
                     delete: {where: {title: {_eq: "Notes"}}}
                   }
                   detail: {insert: {data: {phone: "1"}}}
                 }
               ) {
                 name bio book_count detail { phone }
                 books(order_by: {title: asc}) { title price reviews_aggregate { aggregate { count } } }
               } }"#,
        )
        .await;
    assert_eq!(
        answer["update_authors_by_pk"],
        json!({
            "name": "Ada", "bio": "known", "book_count": 3, "detail": {"phone": "1"},
            "books": [
                {"title": "Analytical", "price": 25.00, "reviews_aggregate": {"aggregate": {"count": 0}}},
                {"title": "Notes", "price": 3.00, "reviews_aggregate": {"aggregate": {"count": 2}}},
                {"title": "Sketches", "price": null, "reviews_aggregate": {"aggregate": {"count": 0}}},
            ],
        })
    );
    // The one row on the other side of a unique key, in all three ways.
    let answer = library
        .data(
            &user(),
            r#"mutation {
                 first: update_authors_by_pk(pk_columns: {id: 1}, _nested: {
                   detail: {update: {where: {}, _set: {phone: "2"}}}}) { detail { phone } }
                 second: update_authors_by_pk(pk_columns: {id: 1}, _nested: {
                   detail: {delete: {where: {}}, insert: {data: {phone: "3"}}}}) { detail { phone } }
                 third: update_authors_by_pk(pk_columns: {id: 1}, _nested: {
                   detail: {delete: {where: {phone: {_eq: "3"}}}}}) { detail { phone } }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "first": {"detail": {"phone": "2"}},
            "second": {"detail": {"phone": "3"}},
            "third": {"detail": null},
        })
    );
}

#[tokio::test]
async fn only_rows_that_belong_to_the_updated_one_are_touched() {
    let library = Library::new().await;
    let answer = library
        .data(
            &user(),
            &books_of_ada(
                r#"{delete: {where: {price: {_gte: 20}}}, update: {where: {}, _set: {published: false}}}"#,
            ),
        )
        .await;
    assert_eq!(
        answer["update_authors_by_pk"]["books"],
        json!([{"id": 1, "title": "Notes", "price": 10.00}])
    );
    assert_eq!(library.sql("select title, published from books where author_id = 2"), "Machines|t");
    // A row of an upsert that belongs to another stays there as it is.
    let answer = library
        .data(
            &user(),
            &books_of_ada(
                r#"{insert: {
                     data: [{id: 1, title: "mine"}, {id: 3, title: "taken"}, {id: 30, title: "new"}]
                     on_conflict: {constraint: books_pkey, update_columns: [title, author_id]}}}"#,
            ),
        )
        .await;
    assert_eq!(
        answer["update_authors_by_pk"]["books"],
        json!([
            {"id": 1, "title": "mine", "price": 10.00},
            {"id": 30, "title": "new", "price": null},
        ])
    );
    assert_eq!(library.sql("select title, author_id from books where id = 3"), "Machines|2");
    // Also deeper, where rows of a row that belongs to it come along.
    let answer = library
        .data(
            &user(),
            &books_of_ada(
                r#"{insert: {data: [{title: "deep", reviews: {
                     data: [{id: 3, stars: 1}, {id: 33, stars: 2}]
                     on_conflict: {constraint: reviews_pkey, update_columns: [stars, book_id]}}}]}}"#,
            ),
        )
        .await;
    assert!(answer["update_authors_by_pk"].is_object(), "{answer}");
    assert_eq!(library.sql("select stars, book_id from reviews where id = 3"), "4|3");
    assert_eq!(library.sql("select count(*) from reviews where id = 33"), "1");
    // What an upserted row points to may be another row than before.
    let answer = library
        .data(
            &user(),
            r#"mutation { update_members_by_pk(pk_columns: {id: 1}, _nested: {lockers: {insert: {
                 data: [
                   {id: 1, label: "mine", room: {data: {name: "new"}}}
                   {id: 2, label: "taken", room: {data: {name: "other"}}}
                 ]
                 on_conflict: {constraint: lockers_pkey, update_columns: [label, room_id]}
               }}}) { lockers { id label room { name } } } }"#,
        )
        .await;
    assert_eq!(
        answer["update_members_by_pk"],
        json!({"lockers": [{"id": 1, "label": "mine", "room": {"name": "new"}}]})
    );
    assert_eq!(library.sql("select label, member_id from lockers where id = 2"), "b|2");
    // Rows that would go elsewhere are refused, also in an increment.
    for update in ["_set: {author_id: 2, title: \"x\"}", "_inc: {author_id: 1}"] {
        let query = books_of_ada(&format!("{{update: [{{where: {{}}, {update}}}]}}"));
        assert_eq!(
            library.error(&user(), &query).await,
            error(
                "validation-failed",
                "$.selectionSet.update_authors_by_pk.args._nested.books.update[0]",
                "cannot update \"author_id\" columns as their values are determined by the parent row",
            )
        );
    }
    let query = books_of_ada(r#"{insert: {data: [{title: "x"}, {title: "y", author_id: 2}]}}"#);
    assert_eq!(
        library.error(&user(), &query).await,
        error(
            "validation-failed",
            "$.selectionSet.update_authors_by_pk.args._nested.books.insert.data[1]",
            "cannot insert \"author_id\" columns as their values are already being determined by parent insert",
        )
    );
}

#[tokio::test]
async fn what_is_named_twice_happens_in_order() {
    let library = Library::new().await;
    let answer = library
        .data(
            &user(),
            &books_of_ada(
                r#"{
                 delete: {where: {id: {_eq: 1}}}
                 update: [{where: {id: {_in: [1, 2]}}, _set: {title: "updated"}}]
                 insert: {
                   data: [{id: 1, title: "again"}, {id: 2, title: "upserted", price: 1}]
                   on_conflict: {constraint: books_pkey, update_columns: [price], where: {title: {_eq: "updated"}}}
                 }
               }"#,
            ),
        )
        .await;
    assert_eq!(
        answer["update_authors_by_pk"]["books"],
        json!([
            {"id": 1, "title": "again", "price": null},
            {"id": 2, "title": "updated", "price": 1.00},
        ])
    );
}

#[tokio::test]
async fn where_the_row_may_not_be_updated_nothing_else_happens() {
    let library = Library::new().await;
    let books = library.sql("select string_agg(b::text, ' ' order by id) from books b");
    for (who, id) in [(user(), 99), (writer("1"), 2), (writer("9"), 1)] {
        for set in ["", "_set: {bio: \"x\"}, "] {
            let query = format!(
                r#"mutation {{
                     update_authors_by_pk(pk_columns: {{id: {id}}}, {set}_nested: {{books: {{
                       delete: {{where: {{}}}}
                       update: [{{where: {{}}, _set: {{title: "x"}}}}]
                       insert: {{data: [{{title: "x"}}, {{title: "x"}}]}}
                     }}}}) {{ id }}
                   }}"#
            );
            let answer = library.answer(&who, &query, json!({})).await;
            assert_eq!(answer.data.as_deref(), Some(&br#"{"update_authors_by_pk":null}"#[..]));
            assert_eq!(answer.transaction, None);
        }
    }
    assert_eq!(library.sql("select string_agg(b::text, ' ' order by id) from books b"), books);
    // A policy that lets the row be seen and not updated.
    library.sql(
        "alter table authors enable row level security;
         create policy reads on authors for select to app_user using (true);
         create policy updates on authors for update to app_user using (id = 2);",
    );
    let query = books_of_ada("{delete: {where: {}}}");
    assert_eq!(library.data(&user(), &query).await, json!({"update_authors_by_pk": null}));
    let query = query.replace("id: 1", "id: 2");
    assert_eq!(
        library.data(&user(), &query).await,
        json!({"update_authors_by_pk": {"id": 2, "books": []}})
    );
    assert_eq!(library.sql("select count(*) from books"), "2");
    // What stands around it in the document does happen.
    let answer = library
        .answer(
            &user(),
            r#"mutation {
                 a: update_books_by_pk(pk_columns: {id: 1}, _set: {price: 1}) { id }
                 b: update_authors_by_pk(pk_columns: {id: 99}, _nested: {
                   books: {insert: {data: [{title: "x", reviews: {data: [{stars: 1}]}}]}}}) { id }
               }"#,
            json!({}),
        )
        .await;
    assert_eq!(answer.data.as_deref(), Some(&br#"{"a":{"id":1},"b":null}"#[..]));
    assert!(answer.transaction.is_some());
    assert_eq!(library.sql("select price from books where id = 1"), "1.00");
}

#[tokio::test]
async fn permissions_of_the_children_decide() {
    let library = Library::new().await;
    // Filters of updates and deletes, presets and checks of inserts.
    let answer = library
        .data(
            &writer("1"),
            r#"mutation { update_authors_by_pk(pk_columns: {id: 1}, _set: {bio: "b"}, _nested: {books: {
                 delete: {where: {title: {_eq: "Notes"}}}
                 update: {where: {}, _set: {price: 2}}
                 insert: {data: [{title: "More"}]}
               }}) { bio books(order_by: {id: asc}) { title price tags updated_by } } }"#,
        )
        .await;
    assert_eq!(
        answer["update_authors_by_pk"],
        json!({"bio": "b", "books": [
            {"title": "Engines", "price": 2.00, "tags": null, "updated_by": 1},
            {"title": "More", "price": null, "tags": ["new"], "updated_by": null},
        ]})
    );
    let shape = r#"{ a: __type(name: "authors_nested_update_input") { inputFields { name } }
                     b: __type(name: "books_rel_update_input") { inputFields { name } }
                     d: __type(name: "details_rel_update_input") { inputFields { name } }
                     r: __type(name: "reviews_rel_update_input") { inputFields { name } } }"#;
    let names = |value: &Value| -> Vec<String> {
        let fields = value["inputFields"].as_array().map_or(&[][..], Vec::as_slice);
        fields.iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect()
    };
    for (role, expected) in [
        (
            "user",
            [
                &["books", "detail"][..],
                &["delete", "insert", "update"],
                &["delete", "insert", "update"],
                &["delete", "insert", "update"],
            ],
        ),
        (
            "writer",
            [&["books", "detail"][..], &["delete", "insert", "update"], &["insert"], &["insert"]],
        ),
        ("reader", [&[][..], &[], &[], &[]]),
        ("stamper", [&[][..], &["insert", "update"], &[], &[]]),
    ] {
        let who = session(role, &[("x-hasura-user-id", "1"), ("x-hasura-tenant-id", "1")]);
        let answer = library.data(&who, shape).await;
        let found = ["a", "b", "d", "r"].map(|key| names(&answer[key]));
        assert_eq!(
            found,
            expected.map(|names| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()),
            "{role}"
        );
    }
    for (query, path, message) in [
        (
            r#"mutation { update_authors_by_pk(pk_columns: {id: 1}, _nested: {detail: {delete: {where: {}}}}) { id } }"#,
            "$.selectionSet.update_authors_by_pk.args._nested.detail.delete",
            "field \"delete\" not found in type: 'details_rel_update_input'",
        ),
        (
            r#"mutation { update_authors_by_pk(pk_columns: {id: 1}, _nested: {books: {update: [{where: {}, _set: {published: true}}]}}) { id } }"#,
            "$.selectionSet.update_authors_by_pk.args._nested.books.update[0]._set.published",
            "field \"published\" not found in type: 'books_set_input'",
        ),
    ] {
        let found = library.error(&writer("1"), query).await;
        assert_eq!(found, error("validation-failed", path, message), "{query}");
    }
}

#[tokio::test]
async fn all_or_nothing_and_the_place_of_what_failed() {
    let library = Library::new().await;
    let state = "select (select string_agg(a::text, ' ' order by id) from authors a),
                        (select string_agg(b::text, ' ' order by id) from books b),
                        (select string_agg(r::text, ' ' order by id) from reviews r)";
    let before = library.sql(state);
    let nested = "$.selectionSet.update_authors_by_pk.args._nested.books";
    let before_it = r#"delete: {where: {title: {_eq: "Notes"}}}, "#;
    for (changes, code, place, message) in [
        (
            r#"insert: {data: [{title: "x"}, {title: "y", price: -1}]}"#,
            "permission-error",
            ".insert.data",
            "Check constraint violation. new row for relation \"books\" violates check constraint \"books_price_check\"",
        ),
        (
            r#"insert: {data: [{title: "Engines"}]}"#,
            "constraint-violation",
            ".insert.data",
            "Uniqueness violation. duplicate key value violates unique constraint \"books_author_id_title_key\"",
        ),
        (
            r#"insert: {data: [{title: "x", reviews: {data: [{stars: 1}]}}, {title: "y", reviews: {data: [{stars: 1, id: 3}]}}]}"#,
            "constraint-violation",
            ".insert.data[1].reviews.data",
            "Uniqueness violation. duplicate key value violates unique constraint \"reviews_pkey\"",
        ),
        (
            r#"update: [{where: {}, _set: {price: 1}}, {where: {}, _set: {price: -1}}]"#,
            "permission-error",
            ".update[1]",
            "Check constraint violation. new row for relation \"books\" violates check constraint \"books_price_check\"",
        ),
        (
            r#"insert: {data: [{title: "x", author: {data: {name: "Ada"}}}]}"#,
            "validation-failed",
            ".insert.data[0].author",
            "cannot insert object relationship \"author\" as \"author_id\" column values are already determined",
        ),
    ] {
        let query = books_of_ada(&format!("{{{before_it}{changes}}}"));
        let found = library.error(&user(), &query).await;
        assert_eq!(found, error(code, &format!("{nested}{place}"), message), "{query}");
        assert_eq!(library.sql(state), before, "{query}");
    }
    // A policy of the children that refuses, after the parent was written.
    library.sql(
        "alter table books enable row level security;
         create policy reads on books for select to app_user using (true);
         create policy deletes on books for delete to app_user using (title <> 'Notes');
         create policy inserts on books for insert to app_user with check (title <> 'forbidden');
         create policy updates on books for update to app_user using (true) with check (price < 100);",
    );
    for (changes, place) in [
        (r#"insert: {data: [{title: "fine"}, {title: "forbidden"}]}"#, ".insert.data"),
        (r#"update: [{where: {}, _set: {price: 100}}]"#, ".update[0]"),
    ] {
        let query = format!(
            "mutation {{ update_authors_by_pk(pk_columns: {{id: 1}}, _set: {{bio: \"x\"}}, _nested: {{books: {{{changes}}}}}) {{ id }} }}"
        );
        let (code, path, _) = library.error(&user(), &query).await;
        assert_eq!((code.as_str(), path), ("permission-error", format!("{nested}{place}")));
        assert_eq!(library.sql(state), before, "{query}");
    }
    // What a policy hides from a delete stays.
    let answer = library.data(&user(), &books_of_ada("{delete: {where: {}}}")).await;
    assert_eq!(answer["update_authors_by_pk"]["books"][0]["title"], "Notes");
    // A check of the parent.
    let (code, path, message) = library
        .error(
            &writer("1"),
            r#"mutation { update_authors_by_pk(pk_columns: {id: 1}, _set: {name: ""}, _nested: {books: {delete: {where: {}}}}) { id } }"#,
        )
        .await;
    assert_eq!(
        (code, path, message),
        error(
            "permission-error",
            "$",
            "check constraint of an insert/update permission has failed"
        )
    );
}

#[tokio::test]
async fn the_answer_is_read_after_all_changes() {
    let library = Library::new().await;
    library.sql(
        "create function count_into_bio() returns trigger language plpgsql as $$
         begin
           update authors set bio = (select count(*) from books where author_id = authors.id);
           return null;
         end $$;
         create trigger count_into_bio after insert or delete on books for each statement
           execute function count_into_bio();
         alter table books drop constraint books_author_id_fkey,
           add foreign key (author_id) references authors on update cascade;",
    );
    let answer = library
        .data(
            &user(),
            r#"mutation { update_authors_by_pk(pk_columns: {id: 1}, _set: {id: 7}, _nested: {books: {
                 update: [{where: {title: {_eq: "Notes"}}, _set: {price: 1}}]
                 insert: {data: [{title: "x"}, {title: "y"}]}
               }}) { id bio books(order_by: {id: asc}) { title price } } }"#,
        )
        .await;
    assert_eq!(
        answer["update_authors_by_pk"],
        json!({"id": 7, "bio": "4", "books": [
            {"title": "Notes", "price": 1.00},
            {"title": "Engines", "price": 20.00},
            {"title": "x", "price": null},
            {"title": "y", "price": null},
        ]})
    );
}

#[tokio::test]
async fn the_whole_argument_may_be_a_variable() {
    let library = Library::new().await;
    let query = "mutation M($n: authors_nested_update_input, $set: authors_set_input) {
        update_authors_by_pk(pk_columns: {id: 1}, _set: $set, _nested: $n) {
          bio books(order_by: {id: asc}) { title } } }";
    let rows: Vec<Value> = (0..3_000).map(|n| json!({"title": format!("t{n}")})).collect();
    let nested = json!({"books": {
        "delete": {"where": {}},
        "insert": {"data": rows},
        "update": [],
    }});
    let answer = library.ask(&user(), query, json!({"n": nested})).await;
    let books = answer["update_authors_by_pk"]["books"].as_array().expect("books");
    assert_eq!((books.len(), &books[2_999]["title"]), (3_000, &json!("t2999")), "{answer}");
    // The same plan, another time.
    let rows: Vec<Value> = (0..2).map(|n| json!({"title": format!("u{n}")})).collect();
    let nested =
        json!({"books": {"delete": {"where": {}}, "insert": {"data": rows}, "update": []}});
    let answer = library.ask(&user(), query, json!({"n": nested})).await;
    assert_eq!(answer["update_authors_by_pk"]["books"], json!([{"title": "u0"}, {"title": "u1"}]));
    // Null and nothing at all are as if it were not there.
    for (nested, set, bio) in [
        (json!(null), json!({"bio": "a"}), json!("a")),
        (json!({}), json!({"bio": "b"}), json!("b")),
        (json!({"books": null, "detail": {}}), json!({"bio": "c"}), json!("c")),
        (
            json!({"books": {"delete": null, "update": null, "insert": null}}),
            json!({"bio": "d"}),
            json!("d"),
        ),
        (json!({"books": {"update": [], "insert": {"data": []}}}), json!({"bio": "e"}), json!("e")),
        (json!({"books": {"update": []}}), json!({}), json!("e")),
    ] {
        let answer = library.ask(&user(), query, json!({"n": nested, "set": set})).await;
        assert_eq!(answer["update_authors_by_pk"]["bio"], bio, "{nested}: {answer}");
        assert_eq!(answer["update_authors_by_pk"]["books"][1]["title"], "u1");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_where_it_is() {
    let library = Library::new().await;
    let at = "$.selectionSet.update_authors_by_pk.args";
    for (argument, place, message) in [
        (
            "_nested: {}",
            "",
            "at least any one of _set, _inc, _prepend, _append, _delete_key, _delete_elem, _delete_at_path is expected",
        ),
        (
            "_nested: null",
            "",
            "at least any one of _set, _inc, _prepend, _append, _delete_key, _delete_elem, _delete_at_path is expected",
        ),
        (
            "_nested: {books: {}}",
            "",
            "at least any one of _set, _inc, _prepend, _append, _delete_key, _delete_elem, _delete_at_path is expected",
        ),
        (
            "_nested: []",
            "._nested",
            "expected an object for type \"authors_nested_update_input\", but found a list",
        ),
        (
            "_nested: {author: {}}",
            "._nested.author",
            "field \"author\" not found in type: 'authors_nested_update_input'",
        ),
        (
            "_nested: {books: 1}",
            "._nested.books",
            "expected an object for type \"books_rel_update_input\", but found an integer",
        ),
        (
            "_nested: {books: {upsert: []}}",
            "._nested.books.upsert",
            "field \"upsert\" not found in type: 'books_rel_update_input'",
        ),
        (
            "_nested: {books: {delete: {}}}",
            "._nested.books.delete.where",
            "missing required field \"where\"",
        ),
        (
            "_nested: {books: {delete: {where: null}}}",
            "._nested.books.delete.where",
            "expected an object for type \"books_bool_exp\", but found null",
        ),
        (
            "_nested: {books: {delete: {where: {id: null}}}}",
            "._nested.books.delete.where.id",
            "expected an object for type \"Int_comparison_exp\", but found null",
        ),
        (
            "_nested: {books: {update: [{where: {}}]}}",
            "._nested.books.update[0]",
            "at least any one of _set, _inc is expected",
        ),
        (
            "_nested: {books: {update: [{_set: {title: \"x\"}}]}}",
            "._nested.books.update[0].where",
            "missing required field \"where\"",
        ),
        (
            "_nested: {books: {update: [null]}}",
            "._nested.books.update[0]",
            "expected an object for type \"books_updates\", but found null",
        ),
        (
            "_nested: {books: {insert: {}}}",
            "._nested.books.insert.data",
            "missing required field \"data\"",
        ),
        (
            "_nested: {books: {insert: {data: null}}}",
            "._nested.books.insert.data",
            "unexpected null value for type \"books_insert_input\"",
        ),
        (
            "_nested: {books: {insert: {data: [{titel: \"x\"}]}}}",
            "._nested.books.insert.data[0].titel",
            "field \"titel\" not found in type: 'books_insert_input'",
        ),
    ] {
        let query = format!(
            "mutation {{ update_authors_by_pk(pk_columns: {{id: 1}}, {argument}) {{ id }} }}"
        );
        let found = library.error(&user(), &query).await;
        assert_eq!(found.1, format!("{at}{place}"), "{argument}: {}", found.2);
        assert_eq!(found.2, message, "{argument}");
        assert_eq!(found.0, "validation-failed", "{argument}");
    }
    let query = "mutation M($n: authors_nested_update_input) { update_authors_by_pk(pk_columns: {id: 1}, _nested: $n) { id } }";
    let many = |count: usize| json!({"where": {"id": {"_eq": 1}}, "_set": {"price": count}});
    for nested in [
        json!({"books": {"update": (0..10_001).map(many).collect::<Vec<_>>()}}),
        json!({"books": {"insert": {"data": (0..10_001).map(|n| json!({"title": n.to_string()})).collect::<Vec<_>>()}}}),
    ] {
        let (code, _, message) = library.error_of(&user(), query, json!({"n": nested})).await;
        assert_eq!(code, "node-limit-exceeded", "{message}");
        assert!(message.contains("limits.insert_rows"), "{message}");
    }
    // One list, sent more than once.
    let twice = "mutation M($n: [books_updates!]!) {
        a: update_authors_by_pk(pk_columns: {id: 1}, _nested: {books: {update: $n}}) { id }
        b: update_books_many(updates: $n) { affected_rows } }";
    let variables = json!({"n": (0..6_000).map(many).collect::<Vec<_>>()});
    let (code, path, message) = library.error_of(&user(), twice, variables).await;
    assert_eq!(
        (code.as_str(), path.as_str()),
        ("node-limit-exceeded", "$.selectionSet.update_books_many.args.updates"),
        "{message}"
    );
    for (nested, path) in [
        (json!(1), "._nested"),
        (json!({"nobody": {}}), "._nested.nobody"),
        (json!({"books": {"delete": {"where": {"id": {"_eq": "x"}}}}}), "._nested.books.delete"),
        (
            json!({"books": {"insert": {"data": [{"title": {}}]}}}),
            "._nested.books.insert.data[0].title",
        ),
    ] {
        let found = library.error_of(&user(), query, json!({"n": nested})).await;
        assert_eq!(found.1, format!("{at}{path}"), "{nested}: {found:?}");
    }
}

#[tokio::test]
async fn it_is_explained_without_being_run() {
    let library = Library::new().await;
    let query = books_of_ada(
        r#"{
          delete: {where: {id: {_eq: 1}}}
          update: [{where: {}, _set: {price: 1}}]
          insert: {data: [{title: "x"}], on_conflict: {constraint: books_pkey, update_columns: [title]}}
        }"#,
    );
    let request = GraphqlRequest { query, ..GraphqlRequest::default() };
    let explained = library.engine.explain(&user(), &request).await.expect("explains");
    let mut statements = vec![explained.sql.expect("a statement")];
    statements.extend(explained.then.into_iter().map(|statement| statement.sql));
    let expected = [
        r#" FROM "public"."authors" AS _2 WHERE (_2."id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4") FOR NO KEY UPDATE)"#,
        r#"WITH _0 AS (DELETE FROM "public"."books" AS _1 WHERE ((_1."author_id" OPERATOR(pg_catalog.=) ($1)::"pg_catalog"."int4") AND "#,
        r#"WITH _0 AS (UPDATE "public"."books" AS _1 SET "price" = ($1)::"pg_catalog"."numeric" WHERE (_1."author_id" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."int4") RETURNING"#,
        r#"DO UPDATE SET "title" = excluded."title" WHERE (_1."author_id" OPERATOR(pg_catalog.=) ($2)::"pg_catalog"."int4") RETURNING"#,
        r#"SELECT (SELECT pg_catalog.row_to_json("#,
    ];
    assert_eq!(statements.len(), expected.len(), "{statements:#?}");
    for (statement, expected) in statements.iter().zip(expected) {
        assert!(statement.contains(expected), "{statement}");
    }
    assert_eq!(library.sql("select count(*) from books where author_id = 1"), "2");
}
