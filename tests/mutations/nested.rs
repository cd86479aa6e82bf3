//! Rows of other tables inside of new rows.

use serde_json::json;

use super::{Library, user};

#[tokio::test]
async fn rows_are_written_in_the_order_in_which_they_point_at_each_other() {
    let library = Library::new().await;
    let user = user();
    let answer = library
        .data(
            &user,
            r#"mutation { insert_books(objects: [
                 {title: "T1", price: 1, author: {data: {name: "New", detail: {data: {phone: "1"}}}},
                  reviews: {data: [{stars: 1}, {stars: 2, body: "b"}]}},
                 {title: "T2", author_id: 2, reviews: null, author: null},
                 {title: "T3", author_id: 2, reviews: {data: []}}
               ]) { affected_rows returning {
                 title author { name detail { phone } } reviews(order_by: {id: asc}) { stars body } } } }"#,
        )
        .await;
    assert_eq!(
        answer["insert_books"],
        json!({"affected_rows": 7, "returning": [
            {"title": "T1", "author": {"name": "New", "detail": {"phone": "1"}},
             "reviews": [{"stars": 1, "body": null}, {"stars": 2, "body": "b"}]},
            {"title": "T2", "author": {"name": "Alan", "detail": null}, "reviews": []},
            {"title": "T3", "author": {"name": "Alan", "detail": null}, "reviews": []},
        ]})
    );
    let deep = library
        .data(
            &user,
            r#"mutation { insert_authors_one(object: {name: "Deep", books: {data: [
                 {title: "B1", reviews: {data: {stars: 5}}},
                 {title: "B2", reviews: {data: [{stars: 4}, {stars: 3}]}}
               ]}}) { name books(order_by: {title: asc}) { title reviews_aggregate { aggregate { sum { stars } } } } } }"#,
        )
        .await;
    assert_eq!(
        deep["insert_authors_one"],
        json!({"name": "Deep", "books": [
            {"title": "B1", "reviews_aggregate": {"aggregate": {"sum": {"stars": 5}}}},
            {"title": "B2", "reviews_aggregate": {"aggregate": {"sum": {"stars": 7}}}},
        ]})
    );
    let count = library
        .data(
            &user,
            r#"mutation { insert_authors(objects: [
                 {name: "x", books: {data: [{title: "1"}, {title: "2"}]}},
                 {name: "y", detail: {data: {phone: "3"}}}
               ]) { affected_rows } }"#,
        )
        .await;
    assert_eq!(count["insert_authors"], json!({"affected_rows": 5}));
}

#[tokio::test]
async fn nested_upserts_follow_their_own_rule() {
    let library = Library::new().await;
    let user = user();
    let answer = library
        .data(
            &user,
            r#"mutation { insert_books_one(object: {title: "T", author: {
                 data: {name: "Ada", bio: "known"},
                 on_conflict: {constraint: authors_name_key, update_columns: [bio]}
               }}) { author { id bio } } }"#,
        )
        .await;
    assert_eq!(answer["insert_books_one"], json!({"author": {"id": 1, "bio": "known"}}));
    let error = library
        .error(
            &user,
            r#"mutation { insert_books(objects: [{title: "T", author: {
                 data: {name: "Ada"}, on_conflict: {constraint: authors_name_key, update_columns: []}
               }}]) { affected_rows } }"#,
        )
        .await;
    assert_eq!(
        error,
        (
            "not-supported".into(),
            "$.selectionSet.insert_books.args.objects[0].author".into(),
            "cannot proceed to insert object relation \"author\" since insert to table \"authors\" affects zero rows"
                .into()
        )
    );
    let error = library
        .error(
            &user,
            r#"mutation { insert_authors(objects: [{name: "Ada", books: {data: [{title: "T"}]}}],
                 on_conflict: {constraint: authors_name_key, update_columns: []}) { affected_rows } }"#,
        )
        .await;
    assert_eq!(
        error,
        (
            "not-supported".into(),
            "$.selectionSet.insert_authors.args.objects[0]".into(),
            "cannot proceed to insert array relations since insert to table \"authors\" affects zero rows".into()
        )
    );
    assert_eq!(library.sql("select count(*) from books"), "4");
}

#[tokio::test]
async fn columns_that_other_rows_determine_are_not_given() {
    let library = Library::new().await;
    let user = user();
    for (query, path, message) in [
        (
            r#"mutation { insert_authors(objects: [{name: "x", books: {data: [{title: "t"}, {title: "u", author_id: 1}]}}]) { affected_rows } }"#,
            "$.selectionSet.insert_authors.args.objects[0].books.data[1]",
            "cannot insert \"author_id\" columns as their values are already being determined by parent insert",
        ),
        (
            r#"mutation { insert_books_one(object: {title: "x", author_id: 1, author: {data: {name: "y"}}}) { id } }"#,
            "$.selectionSet.insert_books_one.args.object[0].author",
            "cannot insert object relationship \"author\" as \"author_id\" column values are already determined",
        ),
    ] {
        let error = library.error(&user, query).await;
        assert_eq!(error, ("validation-failed".into(), path.into(), message.into()), "{query}");
    }
}

#[tokio::test]
async fn an_error_names_the_row_and_leaves_nothing() {
    let library = Library::new().await;
    let user = user();
    let before = library.sql("select (select count(*) from authors), (select count(*) from books)");
    for (query, code, path, message) in [
        (
            r#"mutation { insert_authors(objects: [{name: "x", books: {data: [{title: "t"}]}}, {name: "y", books: {data: [{title: "t", price: -1}]}}]) { affected_rows } }"#,
            "permission-error",
            "$.selectionSet.insert_authors.args.objects[1].books.data",
            "Check constraint violation. new row for relation \"books\" violates check constraint \"books_price_check\"",
        ),
        (
            r#"mutation { insert_authors(objects: [{name: "x", books: {data: [{title: "t"}]}}, {name: "Ada", detail: {data: {phone: "1"}}}]) { affected_rows } }"#,
            "constraint-violation",
            "$.selectionSet.insert_authors.args.objects[1]",
            "Uniqueness violation. duplicate key value violates unique constraint \"authors_name_key\"",
        ),
        (
            r#"mutation { insert_books_one(object: {title: "t", author: {data: {name: "Ada"}}}) { id } }"#,
            "constraint-violation",
            "$.selectionSet.insert_books_one.args.object[0].author.data",
            "Uniqueness violation. duplicate key value violates unique constraint \"authors_name_key\"",
        ),
    ] {
        let error = library.error(&user, query).await;
        assert_eq!(error, (code.into(), path.into(), message.into()), "{query}");
    }
    let after = library.sql("select (select count(*) from authors), (select count(*) from books)");
    assert_eq!(before, after);
}

/// Written rows are put together again from the columns that the answer needs;
/// a domain that refuses null needs its value too.
#[tokio::test]
async fn columns_that_refuse_null_survive_the_way_through_a_second_statement() {
    let library = Library::new().await;
    let query = r#"mutation {
        insert_pages_one(object: {owner: 1, label: "top", below: {data: [{owner: 1}]}}) {
          owner below { label over { label } } }
        update_pages(where: {owner: {_eq: 2}}, _set: {owner: 3}) { returning { owner below { id } } }
    }"#;
    let answer = library.data(&user(), query).await;
    assert_eq!(
        answer,
        json!({
            "insert_pages_one": {"owner": 1, "below": [{"label": "none", "over": {"label": "top"}}]},
            "update_pages": {"returning": [{"owner": 3, "below": []}]},
        })
    );
}
