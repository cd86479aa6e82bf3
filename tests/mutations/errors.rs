//! What is refused, in Hasura's words, and what is left behind: nothing.

use std::time::Duration;

use ringfence::pg::{ConnectionString, Options};
use serde_json::json;

use super::{Library, user};

#[tokio::test]
async fn constraints_have_their_codes_and_paths() {
    let library = Library::new().await;
    let user = user();
    library.sql("alter table books add constraint odd exclude using btree (price with =)");
    library.sql("update counted set books = 0");
    let args = |field: &str| format!("$.selectionSet.{field}.args.objects");
    for (query, code, path, message) in [
        (
            r#"mutation { insert_authors(objects: [{name: "Ada"}]) { affected_rows } }"#,
            "constraint-violation",
            args("insert_authors"),
            "Uniqueness violation. duplicate key value violates unique constraint \"authors_name_key\"",
        ),
        (
            r#"mutation { insert_books(objects: [{title: "x", author_id: 99}]) { affected_rows } }"#,
            "constraint-violation",
            args("insert_books"),
            "Foreign key violation. insert or update on table \"books\" violates foreign key constraint \"books_author_id_fkey\"",
        ),
        (
            r#"mutation { insert_books_one(object: {author_id: 1}) { id } }"#,
            "constraint-violation",
            "$.selectionSet.insert_books_one.args.object".into(),
            "Not-NULL violation. null value in column \"title\" of relation \"books\" violates not-null constraint",
        ),
        (
            r#"mutation { insert_books(objects: [{title: "x", price: -1}]) { affected_rows } }"#,
            "permission-error",
            args("insert_books"),
            "Check constraint violation. new row for relation \"books\" violates check constraint \"books_price_check\"",
        ),
        (
            r#"mutation { insert_books(objects: [{title: "x", price: 10}]) { affected_rows } }"#,
            "constraint-violation",
            args("insert_books"),
            "Exclusion violation. conflicting key value violates exclusion constraint \"odd\"",
        ),
        (
            r#"mutation { insert_authors(objects: [{name: "twice"}, {name: "twice"}],
                 on_conflict: {constraint: authors_name_key, update_columns: [name]}) { affected_rows } }"#,
            "constraint-violation",
            args("insert_authors"),
            "two rows of an upsert have the same key; send each row once",
        ),
        (
            r#"mutation { delete_authors(where: {id: {_eq: 1}}) { affected_rows } }"#,
            "constraint-violation",
            "$".into(),
            "Foreign key violation. update or delete on table \"authors\" violates foreign key constraint \"books_author_id_fkey\" on table \"books\"",
        ),
        (
            r#"mutation { update_authors_by_pk(pk_columns: {id: 2}, _set: {name: "Ada"}) { id } }"#,
            "constraint-violation",
            "$".into(),
            "Uniqueness violation. duplicate key value violates unique constraint \"authors_name_key\"",
        ),
        (
            r#"mutation { update_kinds(where: {}, _inc: {count: -3}) { affected_rows } }"#,
            "permission-error",
            "$".into(),
            "Check constraint violation. value for domain positive violates check constraint \"positive_check\"",
        ),
        (
            r#"mutation { insert_kinds_one(object: {id: 5, label: "123456789012345678901"}) { id } }"#,
            "data-exception",
            "$.selectionSet.insert_kinds_one.args.object".into(),
            "a value has the wrong form or is out of range",
        ),
        (
            r#"mutation { insert_kinds_one(object: {id: 5, key: "nonsense"}) { id } }"#,
            "data-exception",
            "$.selectionSet.insert_kinds_one.args.object".into(),
            "invalid input syntax for type uuid: \"nonsense\"",
        ),
    ] {
        let error = library.error(&user, query).await;
        assert_eq!(error, (code.into(), path, message.into()), "{query}");
    }
    assert_eq!(library.sql("select count(*) from authors"), "3");
}

#[tokio::test]
async fn wrong_documents_are_refused_before_the_database() {
    let library = Library::new().await;
    let user = user();
    for (query, path, message) in [
        (
            "mutation { insert_books(objects: [{title: null}]) { affected_rows } }",
            "insert_books.args.objects[0].title",
            "unexpected null value for type \"String\"",
        ),
        (
            "mutation { insert_books(objects: null) { affected_rows } }",
            "insert_books.args.objects",
            "expected a list, but found null",
        ),
        (
            "mutation { insert_books(objects: [null]) { affected_rows } }",
            "insert_books.args.objects[0]",
            "expected an object for type \"books_insert_input\", but found null",
        ),
        (
            "mutation { insert_books { affected_rows } }",
            "insert_books.args.objects",
            "missing required field \"objects\"",
        ),
        (
            "mutation { insert_books(objects: [7]) { affected_rows } }",
            "insert_books.args.objects[0]",
            "expected an object for type \"books_insert_input\", but found an integer",
        ),
        (
            "mutation { insert_books(objects: [{nothing: 1}]) { affected_rows } }",
            "insert_books.args.objects[0].nothing",
            "field \"nothing\" not found in type: 'books_insert_input'",
        ),
        (
            "mutation { insert_books(objects: [{title: \"a\", author: {}}]) { affected_rows } }",
            "insert_books.args.objects[0].author.data",
            "missing required field \"data\"",
        ),
        (
            "mutation { update_books(where: null, _set: {}) { affected_rows } }",
            "update_books.args.where",
            "expected an object for type \"books_bool_exp\", but found null",
        ),
        (
            "mutation { update_books(where: {}) { affected_rows } }",
            "update_books.args",
            "at least any one of _set, _inc is expected",
        ),
        (
            "mutation { update_kinds(where: {}, _set: {docb: 1, small: 1}, _inc: {small: 1}, _append: {docb: 1}) { affected_rows } }",
            "update_kinds.args",
            "column found in multiple operators; \"docb\" in _set, _append. \"small\" in _set, _inc",
        ),
        (
            "mutation { update_books_by_pk(pk_columns: {}, _set: {title: \"x\"}) { id } }",
            "update_books_by_pk.args.pk_columns.id",
            "missing required field \"id\"",
        ),
        (
            "mutation { update_books(where: {}, _set: null) { affected_rows } }",
            "update_books.args._set",
            "expected an object for type \"books_set_input\", but found null",
        ),
        (
            "mutation { update_kinds(where: {}, _delete_elem: {docb: null}) { affected_rows } }",
            "update_kinds.args._delete_elem.docb",
            "unexpected null value for type \"Int\"",
        ),
        (
            "mutation { delete_books { affected_rows } }",
            "delete_books.args.where",
            "missing required field \"where\"",
        ),
        (
            "mutation { insert_books(objects: [], on_conflict: {constraint: books_pkey, action: update}) { affected_rows } }",
            "insert_books.args.on_conflict.action",
            "field \"action\" not found in type: 'books_on_conflict'",
        ),
        (
            "mutation { insert_keyed(objects: [{a: 1, b: \"x\", made: \"y\"}]) { affected_rows } }",
            "insert_keyed.args.objects[0].made",
            "field \"made\" not found in type: 'keyed_insert_input'",
        ),
        (
            "mutation { insert_joined(objects: [{id: 1}]) { affected_rows } }",
            "insert_joined",
            "field \"insert_joined\" not found in type: 'mutation_root'",
        ),
        (
            "mutation { delete_books(where: {}) { affected_rows returning { id { x } } } }",
            "delete_books.selectionSet.returning.selectionSet.id",
            "unexpected subselection set for non-object field",
        ),
        (
            "mutation { delete_books(where: {}) }",
            "delete_books",
            "missing selection set for \"delete_books\"",
        ),
        (
            "mutation { delete_books(where: {}) { returning } }",
            "delete_books.selectionSet.returning",
            "missing selection set for \"returning\"",
        ),
    ] {
        let error = library.error(&user, query).await;
        let expected =
            ("validation-failed".into(), format!("$.selectionSet.{path}"), message.to_owned());
        assert_eq!(error, expected, "{query}");
    }
    assert_eq!(library.sql("select count(*) from books"), "3");
}

#[tokio::test]
async fn grants_decide_which_columns_are_there() {
    let library = Library::new().await;
    let user = user();
    let answer = library
        .data(
            &user,
            r#"mutation {
                 insert_keyed_one(object: {a: 1, b: "x"}) { a b made ident }
                 update_keyed_by_pk(pk_columns: {a: 1, b: "x"}, _set: {b: "y"}) { a b made }
                 insert_calm_authors_one(object: {id: 50, name: "Seen"}) { id name }
                 delete_calm_authors(where: {id: {_eq: 50}}) { affected_rows }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "insert_keyed_one": {"a": 1, "b": "x", "made": "x!", "ident": 1},
            "update_keyed_by_pk": {"a": 1, "b": "y", "made": "y!"},
            "insert_calm_authors_one": {"id": 50, "name": "Seen"},
            "delete_calm_authors": {"affected_rows": 1},
        })
    );
    let (_, path, message) = library
        .error(&user, r#"mutation { update_keyed(where: {}, _set: {a: 2}) { affected_rows } }"#)
        .await;
    assert_eq!(path, "$.selectionSet.update_keyed.args._set.a");
    assert_eq!(message, "field \"a\" not found in type: 'keyed_set_input'");
}

#[tokio::test]
async fn roots_stand_or_fall_together() {
    let library = Library::new().await;
    let user = user();
    let before = library.sql("select (select sum(id) from books), (select max(id) from plain), (select books from counted where id = 1)");
    let answer = library
        .ask(
            &user,
            r#"mutation {
                 a: insert_plain(objects: [{note: "a"}]) { affected_rows returning { id } }
                 b: delete_reviews(where: {}) { affected_rows }
                 c: insert_books(objects: [{title: "x", author_id: 1}]) { affected_rows returning { author { name } } }
                 d: insert_authors(objects: [{name: "Ada"}]) { affected_rows }
                 e: insert_plain(objects: [{note: "b"}]) { affected_rows }
               }"#,
            json!({}),
        )
        .await;
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!(
        answer["errors"][0]["extensions"],
        json!({"path": "$.selectionSet.insert_authors.args.objects", "code": "constraint-violation"})
    );
    let after = library.sql("select (select sum(id) from books), (select max(id) from plain), (select books from counted where id = 1)");
    assert_eq!(before, after);
    assert_eq!(library.sql("select count(*) from reviews"), "3");
    // What an earlier root wrote, a later one finds.
    let answer = library
        .data(
            &user,
            r#"mutation {
                 insert_plain_one(object: {note: "seen"}) { note }
                 update_plain(where: {note: {_eq: "seen"}}, _set: {note: "changed"}) { affected_rows }
                 delete_plain(where: {note: {_eq: "changed"}}) { affected_rows }
               }"#,
        )
        .await;
    assert_eq!(
        answer,
        json!({
            "insert_plain_one": {"note": "seen"},
            "update_plain": {"affected_rows": 1},
            "delete_plain": {"affected_rows": 1},
        })
    );
}

#[tokio::test]
async fn a_constraint_that_waits_for_the_commit_still_refuses() {
    let library = Library::new().await;
    library.sql(
        "alter table books alter constraint books_author_id_fkey deferrable initially deferred",
    );
    let (code, path, message) = library
        .error(
            &user(),
            r#"mutation { insert_books(objects: [{title: "late", author_id: 99}]) { affected_rows } }"#,
        )
        .await;
    assert_eq!((code.as_str(), path.as_str()), ("constraint-violation", "$"));
    assert!(message.starts_with("Foreign key violation."), "{message}");
    assert_eq!(library.sql("select count(*) from books"), "3");
    let answer = library
        .data(
            &user(),
            r#"mutation {
                 insert_books(objects: [{title: "first", author_id: 99}]) { affected_rows }
                 insert_authors(objects: [{id: 99, name: "then"}]) { affected_rows }
               }"#,
        )
        .await;
    assert_eq!(answer["insert_authors"], json!({"affected_rows": 1}));
}

#[tokio::test]
async fn the_transaction_is_told_where_something_was_written() {
    let library = Library::new().await;
    let user = user();
    let written = library
        .answer(&user, "mutation { insert_plain(objects: [{}]) { affected_rows } }", json!({}))
        .await;
    let id: u64 = written.transaction.expect("an id").parse().expect("digits");
    assert_eq!(library.sql(&format!("select pg_xact_status('{id}')")), "committed");
    assert_eq!(library.sql(&format!("select count(*) from plain where xmin::text = '{id}'")), "1");
    for query in [
        "mutation { update_plain(where: {id: {_eq: 99}}, _set: {note: \"x\"}) { affected_rows } }",
        "mutation { update_plain(where: {}, _set: {}) { affected_rows } }",
        "mutation { __typename }",
        "{ plain { id } }",
    ] {
        let nothing = library.answer(&user, query, json!({})).await;
        assert!(nothing.errors.is_empty(), "{query}");
        assert_eq!(nothing.transaction, None, "{query}");
    }
}

#[tokio::test]
async fn writers_that_meet_wait_or_are_told_to_try_again() {
    let library = Library::with(|options| options.pool_wait = Duration::from_secs(60)).await;
    let user = user();
    let bump =
        r#"mutation { update_counted(where: {id: {_eq: 1}}, _inc: {books: 1}) { affected_rows } }"#;
    let all = futures_util::future::join_all((0..40).map(|_| library.data(&user, bump))).await;
    assert!(all.iter().all(|answer| answer["update_counted"]["affected_rows"] == 1));
    assert_eq!(library.sql("select books from counted where id = 1"), "42");
    // The same new row twice at once: one of them is refused.
    let insert = r#"mutation { insert_authors(objects: [{name: "Twin"}]) { affected_rows } }"#;
    let both =
        futures_util::future::join_all((0..8).map(|_| library.ask(&user, insert, json!({})))).await;
    let (good, bad): (Vec<_>, Vec<_>) =
        both.iter().partition(|answer| answer.get("errors").is_none());
    assert_eq!((good.len(), bad.len()), (1, 7));
    assert!(
        bad.iter()
            .all(|answer| answer["errors"][0]["extensions"]["code"] == "constraint-violation")
    );
    // Two that lock in opposite order: Postgres ends one.
    let order = |first: u32, then: u32| {
        format!(
            r#"mutation {{
                 a: update_counted(where: {{id: {{_eq: {first}}}}}, _inc: {{books: 1}}) {{ affected_rows returning {{ id }} }}
                 b: update_authors(where: {{id: {{_eq: 1}}}}, _set: {{bio: "x"}}) {{ affected_rows returning {{ books {{ id }} }} }}
                 c: update_counted(where: {{id: {{_eq: {then}}}}}, _inc: {{books: 1}}) {{ affected_rows }}
               }}"#
        )
    };
    let before: i64 = library.sql("select sum(books) from counted").parse().unwrap();
    let (one, other) = (order(1, 2), order(2, 1));
    let runs = futures_util::future::join_all(
        (0..8).map(|n| library.ask(&user, if n % 2 == 0 { &one } else { &other }, json!({}))),
    )
    .await;
    let mut committed = 0;
    for run in &runs {
        match run.get("errors") {
            None => committed += 1,
            Some(errors) => {
                assert_eq!(errors[0]["extensions"]["code"], "concurrent-update", "{run}");
            }
        }
    }
    let after: i64 = library.sql("select sum(books) from counted").parse().unwrap();
    assert_eq!(after - before, 2 * committed);
}

#[tokio::test]
async fn a_write_that_takes_too_long_leaves_nothing() {
    let library = Library::with(|options| {
        options.request_timeout = Duration::from_millis(400);
    })
    .await;
    library.sql(
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(5); return new; end $$;
         create trigger slow before insert on plain for each row when (new.note = 'slow') execute function slow()",
    );
    for query in [
        r#"mutation { insert_plain(objects: [{note: "slow"}]) { affected_rows } }"#,
        r#"mutation { a: insert_plain(objects: [{note: "x"}]) { affected_rows } insert_plain(objects: [{note: "slow"}]) { affected_rows } }"#,
    ] {
        let (code, _, _) = library.error(&user(), query).await;
        assert!(code == "time-limit-exceeded" || code == "service-unavailable", "{code}");
    }
    settle(&library).await;
    assert_eq!(library.sql("select count(*) from plain"), "0");
}

#[tokio::test]
async fn a_connection_that_dies_in_the_middle_leaves_nothing() {
    let library = Library::with(|options| options.pool_size = 1).await;
    let user = user();
    library.sql(
        "create function die() returns trigger language plpgsql security definer as $$
           begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$;
         create trigger die before insert on reviews for each row when (new.stars = 666) execute function die();
         create constraint trigger die_late after insert on reviews deferrable initially deferred
           for each row when (new.stars = 777) execute function die()",
    );
    let nested = |stars: u32| {
        format!(
            r#"mutation {{ insert_books(objects: [{{title: "t", reviews: {{data: [{{stars: 1}}, {{stars: {stars}}}]}}}}]) {{ affected_rows }} }}"#
        )
    };
    let flat = |stars: u32| {
        format!(
            "mutation {{ insert_reviews(objects: [{{book_id: 1, stars: {stars}}}]) {{ affected_rows }} }}"
        )
    };
    for query in [flat(666), nested(666)] {
        let (code, _, message) = library.error(&user, &query).await;
        assert_eq!(code, "service-unavailable", "{message}");
        assert!(!message.contains("may or may not"), "{message}");
    }
    for query in [flat(777), nested(777)] {
        let (code, _, message) = library.error(&user, &query).await;
        assert_eq!(code, "service-unavailable", "{message}");
        assert!(message.contains("may or may not"), "{message}");
    }
    assert_eq!(
        library.sql("select (select count(*) from books), (select count(*) from reviews)"),
        "3|3"
    );
    // The pool recovers.
    let answer = library.data(&user, &nested(3)).await;
    assert_eq!(answer["insert_books"], json!({"affected_rows": 3}));
}

#[tokio::test]
async fn a_write_whose_caller_goes_away_is_whole_or_not_there() {
    let library = Library::with(|options| options.pool_size = 2).await;
    let user = user();
    let query = r#"mutation { insert_authors(objects: [{name: "Gone", books: {data: [{title: "a"}, {title: "b"}]}}]) {
        affected_rows returning { books { id } } } }"#;
    let left = || {
        library.sql("select (select count(*) from authors where name = 'Gone'), (select count(*) from books where title in ('a', 'b'))")
    };
    for micros in (0..40).map(|n| n * 150) {
        let call = library.ask(&user, query, json!({}));
        let in_time = tokio::time::timeout(Duration::from_micros(micros), call).await.is_ok();
        settle(&library).await;
        let left = left();
        assert!(left == "1|2" || (!in_time && left == "0|0"), "{left}");
        library.sql(
            "delete from books where title in ('a', 'b'); delete from authors where name = 'Gone'",
        );
    }
}

/// Waits until no request has anything open.
async fn settle(library: &Library) {
    let open = "select count(*) from pg_stat_activity
                where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()";
    for _ in 0..500 {
        if library.sql(open) == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a transaction stays open");
}

/// A database URL that nothing answers at.
#[tokio::test]
async fn a_database_that_is_away_asks_to_try_again() {
    let library = Library::with(|options: &mut Options| {
        let away: ConnectionString = "postgres://nobody:x@127.0.0.1:1/none".parse().expect("a URL");
        options.request = away;
    })
    .await;
    let answer = library
        .answer(&user(), "mutation { insert_plain(objects: [{}]) { affected_rows } }", json!({}))
        .await;
    assert_eq!(answer.errors[0].code.as_str(), "service-unavailable");
    assert!(answer.errors[0].retry_after.is_some());
}

/// What an upsert does with a row that policies hide must not depend on what is
/// in that row.
#[tokio::test]
async fn a_condition_of_an_upsert_tells_nothing_of_a_hidden_row() {
    let library = Library::new().await;
    library
        .sql("insert into shelf values (3, 1, 'own', 8); update shelf set code = 7 where id = 2");
    let upsert = |row: &str, key: &str, condition: &str| {
        format!(
            r#"mutation {{ insert_shelf(objects: [{{{row}, tenant: 1, label: "new"}}], on_conflict: {{
                 constraint: {key}, update_columns: [label], where: {condition} }}) {{ affected_rows }} }}"#
        )
    };
    let told = |path: &str| {
        (
            "permission-error".to_owned(),
            path.to_owned(),
            "the row that the upsert meets is hidden by row-level security, or another transaction has only now inserted it".to_owned(),
        )
    };
    for condition in [
        r#"{label: {_eq: "b"}}"#,
        r#"{label: {_eq: "c"}}"#,
        r#"{label: {_like: "b%"}}"#,
        r#"{tenant: {_gt: 1}}"#,
        r#"{_not: {tenant: {_gt: 1}}}"#,
        r#"{label: {_is_null: true}}"#,
    ] {
        for (row, key) in [("id: 2", "shelf_pkey"), ("id: 9, code: 7", "shelf_code_key")] {
            let error = library.error(&user(), &upsert(row, key, condition)).await;
            assert_eq!(error, told("$.selectionSet.insert_shelf.args.objects"), "{condition}");
        }
    }
    // Of rows that are seen it decides.
    for (row, key) in [("id: 3", "shelf_pkey"), ("id: 9, code: 8", "shelf_code_key")] {
        library.sql("update shelf set label = 'own' where id = 3");
        for (condition, affected, label) in
            [(r#"{label: {_eq: "b"}}"#, 0, "own"), (r#"{label: {_eq: "own"}}"#, 1, "new")]
        {
            let answer = library.data(&user(), &upsert(row, key, condition)).await;
            assert_eq!(answer["insert_shelf"]["affected_rows"], affected, "{condition}");
            assert_eq!(library.sql("select label from shelf where id = 3"), label);
        }
    }
    assert_eq!(library.sql("select label from shelf where id = 2"), "b");
}

/// What another transaction inserts meanwhile is no hidden row.
#[tokio::test]
async fn an_upsert_with_a_condition_meets_a_row_that_was_inserted_only_now() {
    let library = Library::new().await;
    let mut other = library.db.client().await;
    let query = r#"mutation { insert_shelf(
        objects: [{id: 5, tenant: 1, label: "new"}],
        on_conflict: {constraint: shelf_pkey, update_columns: [label], where: {label: {_eq: "late"}}}
      ) { affected_rows returning { label } } }"#;
    let late = other.transaction().await.expect("begins");
    late.batch_execute("insert into shelf values (5, 1, 'late')").await.expect("inserts");
    let watcher = library.db.client().await;
    let commit = async {
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        loop {
            let row = watcher.query_one(waiting, &[]).await.expect("answers");
            if row.get::<_, i64>(0) > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        late.commit().await.expect("commits");
    };
    let user = user();
    let (answer, ()) = tokio::join!(library.data(&user, query), commit);
    assert_eq!(
        answer["insert_shelf"],
        json!({"affected_rows": 1, "returning": [{"label": "new"}]})
    );
}
