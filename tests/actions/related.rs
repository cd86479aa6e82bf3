//! Rows that belong to what handlers answer, under the caller's role.

use serde_json::{Value, json};

use super::{ACME, GLOBEX, Project, error_of};

const QUERY: &str = "{ look { id
    account { name notes_about: __typename }
    notes(order_by: {id: asc}) { id body }
    newest: notes(order_by: {id: desc}, limit: 1) { id }
    notes_aggregate { aggregate { count } nodes { body } }
    inner { text account { name } }
    list { key account { id name } } } }";

/// Handlers know rows of everybody; what comes of them is the caller's.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_other_tenants_stay_hidden() {
    let project = Project::new().await;
    let body = json!([
        {"id": 1, "inner": {"key": 7, "text": "t"}, "list": [{"key": 1}, null, {"key": 7}, {"key": null}, {}]},
        {"id": 7, "note": "n"},
        {"id": 999},
    ]);
    let says = project.handlers.says(&json!({"body": body}));
    project.action("look", json!([]), "[Found!]!", &says, json!({"type": "query"})).await;
    project.permit("look", "user").await;

    let acme = project.user(ACME, QUERY).await;
    let expected = json!([
        {"id": 1, "account": {"name": "Ada", "notes_about": "account"},
            "notes": [{"id": 1, "body": "first"}, {"id": 2, "body": "second"}], "newest": [{"id": 2}],
            "notes_aggregate": {"aggregate": {"count": 2}, "nodes": [{"body": "first"}, {"body": "second"}]},
            "inner": {"text": "t", "account": null},
            "list": [{"key": 1, "account": {"id": 1, "name": "Ada"}}, null, {"key": 7, "account": null},
                {"key": null, "account": null}, {"key": null, "account": null}]},
        {"id": 7, "account": null, "notes": [], "newest": [],
            "notes_aggregate": {"aggregate": {"count": 0}, "nodes": []}, "inner": null, "list": null},
        {"id": 999, "account": null, "notes": [], "newest": [],
            "notes_aggregate": {"aggregate": {"count": 0}, "nodes": []}, "inner": null, "list": null},
    ]);
    assert_eq!(acme["data"]["look"], expected, "{acme}");
    for foreign in ["Mallory", "globex"] {
        assert!(!acme.to_string().contains(foreign), "{acme}");
    }

    let globex = project.user(GLOBEX, QUERY).await;
    assert_eq!(globex["data"]["look"][0]["account"], Value::Null, "{globex}");
    assert_eq!(globex["data"]["look"][0]["notes"], json!([{"id": 71, "body": "globex about Ada"}]));
    assert_eq!(
        globex["data"]["look"][1]["account"],
        json!({"name": "Mallory", "notes_about": "account"})
    );
    assert_eq!(
        globex["data"]["look"][0]["inner"],
        json!({"text": "t", "account": {"name": "Mallory"}})
    );
    for foreign in ["Ada", "Ben", "first"] {
        assert!(!globex.to_string().replace("about Ada", "").contains(foreign), "{globex}");
    }

    // Nobody's tenant: nobody's rows.
    let none = project.user(&[], QUERY).await;
    assert_eq!(none["data"]["look"][0]["notes"], json!([]), "{none}");

    // What the role may not select of a table it may not select here either.
    let answer = project.user(ACME, "{ look { account { secret } } }").await;
    assert_eq!(error_of(&answer).0, "field \"secret\" not found in type: 'account'");
    project.permit("look", "stranger").await;
    let answer = project
        .ask(&[("x-hasura-role", "stranger")], "{ look { id account { id } } }", json!({}))
        .await;
    assert_eq!(error_of(&answer).0, "field \"account\" not found in type: 'Found'");
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_and_arguments_hold_for_related_rows() {
    let project = Project::new().await;
    project.scripted("one", "Found", json!({"body": {"id": 1, "note": "x"}})).await;
    project.scripted("none", "Found", json!({"body": null})).await;
    project.permit("one", "user").await;
    project.permit("none", "user").await;
    project.done("pg_drop_select_permission", json!({"table": "note", "role": "user"})).await;
    project
        .done(
            "pg_create_select_permission",
            json!({"table": "note", "role": "user", "permission": {
                "columns": ["id", "account_id"], "filter": {"body": {"_neq": "X-Hasura-Hide"}}, "limit": 5}}),
        )
        .await;
    let mut headers = vec![("x-hasura-role", "user"), ("x-hasura-hide", "first")];
    headers.extend(ACME);
    let query = "mutation ($limit: Int, $where: note_bool_exp) {
        one { notes(limit: $limit, where: $where, order_by: {id: asc}) { id } } none { notes(limit: $limit) { id } } }";
    let answer = project.ask(&headers, query, json!({"limit": 3})).await;
    assert_eq!(answer, json!({"data": {"one": {"notes": [{"id": 2}]}, "none": null}}));
    let answer = project.ask(&headers, query, json!({"where": {"id": {"_gt": 2}}})).await;
    assert_eq!(answer["data"]["one"]["notes"], json!([]));
    project.handlers.take();
    let answer = project.ask(&headers, query, json!({"limit": "many"})).await;
    assert!(answer["errors"].is_array(), "{answer}");
    assert_eq!(project.handlers.take().len(), 0);
}

/// Keys come from outside: whatever they are, they are values.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_keys_are_values() {
    let project = Project::new().await;
    for (index, key) in [
        json!("1) or (true"),
        json!("'; drop table note; --"),
        json!({"a": 1}),
        json!([1]),
        json!(1e300),
        json!("\u{0}"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("hostile_{index}");
        project.scripted(&name, "Found", json!({"body": {"id": key}})).await;
        let answer = project.admin(&format!("mutation {{ {name} {{ notes {{ id }} }} }}")).await;
        assert!(answer["errors"].is_array(), "{key}: {answer}");
    }
    project.scripted("text", "Found", json!({"body": {"id": "1"}})).await;
    let answer = project.admin("mutation { text { id account { name } } }").await;
    assert_eq!(answer["data"]["text"], json!({"id": "1", "account": {"name": "Ada"}}));
    let answer = project.admin("{ note_aggregate { aggregate { count } } }").await;
    assert_eq!(answer["data"]["note_aggregate"]["aggregate"]["count"], json!(5));
}
