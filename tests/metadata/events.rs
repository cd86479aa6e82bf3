//! Event triggers: what is captured, whoever writes, and who may see it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::harness::AUTHENTICATOR;
use super::{Project, start};

const HOOK: &str = "http://127.0.0.1:9/hook";

impl Project {
    /// The outbox, oldest first.
    fn events(&self) -> Vec<Value> {
        let sql = "select coalesce(json_agg(json_build_object('trigger', trigger_name, 'table', table_name,
                     'archived', archived) order by created_at), '[]') from ringfence.events";
        let text = self.db.psql(sql).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn payloads(&self) -> Vec<Value> {
        let sql =
            "select coalesce(json_agg(payload order by created_at), '[]') from ringfence.events";
        serde_json::from_str(&self.db.psql(sql).unwrap()).unwrap()
    }

    fn triggers(&self) -> String {
        let sql = "select coalesce(string_agg(tgname || ' on ' || tgrelid::regclass, ', ' order by tgname), '')
                   from pg_trigger where not tgisinternal";
        self.db.psql(sql).unwrap().trim().to_owned()
    }

    async fn listen(&self, more: Value) -> (StatusCode, Value) {
        let mut args = json!({"name": "told", "table": "author", "webhook": HOOK});
        for (key, value) in more.as_object().unwrap() {
            args[key] = value.clone();
        }
        self.command("pg_create_event_trigger", args).await
    }

    async fn metric(&self, name: &str) -> String {
        let url = format!("http://{}/metrics", self.server.address);
        let page = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.expect("the metric").to_owned()
    }
}

#[tokio::test]
async fn whoever_writes_is_captured_with_the_transaction() {
    let project = Project::new().await;
    project.done("pg_track_table", json!({"table": "author"})).await;
    let every = json!({"insert": {"columns": "*"}, "delete": {"columns": "*", "payload": ["id"]},
        "update": {"columns": ["name"], "payload": ["name", "id"]}});
    let (status, answer) = project.listen(every).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(project.triggers(), "ringfence_event_told on author");

    let write = "mutation { insert_author_one(object: {name: \"Cy\", secret: \"c\"}) { id } }";
    let answer = project.ask("admin", &[("x-hasura-org", "7")], write).await;
    assert_eq!(answer, json!({"data": {"insert_author_one": {"id": 3}}}));
    // An update counts when a column that is listened to changes.
    let psql = |sql: &str| project.db.psql(sql).unwrap();
    psql("update author set secret = 'x' where id = 3");
    psql("update author set name = 'Cy' where id = 3");
    psql("update author set name = 'Di' where id = 3");
    psql("begin; delete from author where id = 3; rollback");
    psql("delete from author where id = 3");
    let payloads = project.payloads();
    assert_eq!(
        payloads,
        [
            json!({"op": "INSERT", "data": {"old": null, "new": {"id": 3, "name": "Cy", "secret": "c"}},
                "session_variables": {"x-hasura-role": "admin", "x-hasura-org": "7"}, "trace_context": null}),
            json!({"op": "UPDATE", "data": {"old": {"id": 3, "name": "Cy"}, "new": {"id": 3, "name": "Di"}},
                "session_variables": null, "trace_context": null}),
            json!({"op": "DELETE", "data": {"old": {"id": 3}, "new": null},
                "session_variables": null, "trace_context": null}),
        ]
    );
}

#[tokio::test]
async fn request_roles_write_the_outbox_only_through_the_trigger() {
    let project = Project::new().await;
    project.set_up().await;
    project
        .done(
            "pg_create_insert_permission",
            json!({"table": "author", "role": "writer", "permission": {"columns": "*", "check": {}}}),
        )
        .await;
    project.listen(json!({"insert": {"columns": "*"}})).await;
    let write = "mutation { insert_author(objects: {name: \"Cy\"}) { affected_rows } }";
    let answer = project.ask("writer", &[("x-hasura-user-id", "1")], write).await;
    assert_eq!(answer, json!({"data": {"insert_author": {"affected_rows": 1}}}));
    let session = &project.payloads()[0]["session_variables"];
    assert_eq!(*session, json!({"x-hasura-role": "writer", "x-hasura-user-id": "1"}));

    for role in [AUTHENTICATOR, "ringfence_api", "ringfence_admin"] {
        for sql in [
            "select from ringfence.events",
            "insert into ringfence.events (source_name, trigger_name, schema_name, table_name, payload)
               values ('default', 'told', 'public', 'author', '{}')",
            "create temp table t (id int);
             create trigger t after insert on t for each row execute function ringfence.capture('default', 'told')",
        ] {
            let tried = project.db.psql(&format!("set role {role}; {sql}"));
            let error = tried.expect_err("a request role reached the outbox");
            assert!(error.contains("permission denied"), "{role}: {error}");
        }
    }
}

#[tokio::test]
async fn triggers_of_the_database_follow_the_metadata() {
    let project = Project::new().await;
    project.done("pg_track_table", json!({"table": "author"})).await;
    project.done("pg_track_table", json!({"table": "article"})).await;
    project.listen(json!({"update": {"columns": ["secret"]}})).await;

    // Renames are followed, by the API and by psql.
    let (status, answer) = project.sql("alter table author rename column secret to hidden").await;
    assert_eq!(status, 200, "{answer}");
    project.sql("alter table author rename to writer").await;
    assert_eq!(project.triggers(), "ringfence_event_told on writer");
    project.db.psql("update writer set hidden = 'z' where id = 1").unwrap();
    assert_eq!(
        project.events(),
        [json!({"trigger": "told", "table": "writer", "archived": false})]
    );
    project.db.psql("alter table writer rename column hidden to concealed").unwrap();
    project.db.psql("update writer set concealed = 'y' where id = 1").unwrap();
    assert_eq!(project.events().len(), 2, "a column that is gone counts as changed");
    project.db.psql("alter table writer rename column concealed to hidden").unwrap();
    project.done("reload_metadata", json!({})).await;

    // What needs a column keeps it.
    let (_, refused) = project.sql("alter table writer drop column hidden").await;
    assert_eq!(
        refused["error"],
        "cannot drop due to the following dependent objects : event-trigger writer.told in source \"default\""
    );

    // Replaced, it captures otherwise; a failed change leaves it as it is.
    let replace = json!({"table": "writer", "replace": true, "insert": {"columns": "*"}});
    let (status, answer) = project.listen(replace).await;
    assert_eq!(status, 200, "{answer}");
    project.db.psql("update writer set hidden = 'x' where id = 1").unwrap();
    project.db.psql("insert into writer (name) values ('Cy')").unwrap();
    assert_eq!(project.payloads().len(), 3);
    assert_eq!(project.payloads()[2]["op"], "INSERT");

    // Taken away with its table; its events stay, archived.
    project.done("pg_untrack_table", json!({"table": "writer"})).await;
    assert_eq!(project.triggers(), "");
    let events = project.events();
    assert!(events.iter().all(|event| event["archived"] == true), "{events:?}");
    project.db.psql("insert into writer (name) values ('Di')").unwrap();
    assert_eq!(project.events().len(), 3);

    // A document brings it, and another without it takes it away.
    let (_, exported) = project.command("export_metadata", json!({})).await;
    let mut document = exported.clone();
    document["sources"][0]["tables"] = json!([{"table": "article", "event_triggers": [{
        "name": "posted", "webhook": HOOK, "retry_conf": {"num_retries": 3, "interval_sec": 15, "timeout_sec": 60},
        "definition": {"enable_manual": true, "insert": {"columns": "*"}}}]}]);
    project.done("replace_metadata", document).await;
    assert_eq!(project.triggers(), "ringfence_event_posted on article");
    let (_, kept) = project.command("export_metadata", json!({})).await;
    let trigger = &kept["sources"][0]["tables"][0]["event_triggers"][0];
    assert_eq!(trigger["retry_conf"]["num_retries"], 3);
    project.done("clear_metadata", json!({})).await;
    assert_eq!(project.triggers(), "");
}

#[tokio::test]
async fn a_trigger_is_told_as_undelivered_and_breaks_nothing() {
    let mut project = Project::new().await;
    project.done("pg_track_table", json!({"table": "author"})).await;
    project.listen(json!({"enable_manual": true, "insert": {"columns": "*"}})).await;
    let cron = json!({"name": "nightly", "webhook": HOOK, "schedule": "0 3 * * *"});
    project.done("create_cron_trigger", cron.clone()).await;
    let state = project.done("get_inconsistent_metadata", json!({})).await;
    assert_eq!(state["is_consistent"], false);
    let told: Vec<(&str, &str)> = state["inconsistent_objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|told| (told["name"].as_str().unwrap(), told["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "event_trigger told in table author in source default",
                "Inconsistent object: captured, not delivered by this version"
            ),
            ("cron_trigger nightly", "Inconsistent object: kept, not run by this version"),
        ]
    );
    assert_eq!(project.metric("ringfence_event_triggers_undelivered").await, "1");
    assert_eq!(project.metric("ringfence_cron_triggers_undelivered").await, "1");
    project.done("drop_inconsistent_metadata", json!({})).await;
    project.done("pg_track_table", json!({"table": "article"})).await;
    assert_eq!(project.triggers(), "ringfence_event_told on author");

    // Events of the caller's own.
    let invoke = json!({"name": "told", "payload": {"n": 1}});
    let invoked = project.done("pg_invoke_event_trigger", invoke).await;
    let id = invoked["event_id"].as_str().unwrap();
    assert_eq!(project.payloads()[0]["data"], json!({"old": null, "new": {"n": 1}}));
    assert_eq!(project.payloads()[0]["op"], "MANUAL");
    let logs =
        project.done("pg_get_event_logs", json!({"name": "told", "status": "pending"})).await;
    assert_eq!((&logs[0]["id"], &logs[0]["delivered"]), (&json!(id), &json!(false)));
    let one = project.done("pg_get_event_by_id", json!({"event_id": id})).await;
    assert_eq!(one["event"]["payload"]["op"], "MANUAL");
    project.done("pg_redeliver_event", json!({"event_id": id})).await;

    // A server that comes to metadata without the database's trigger makes it.
    project.db.psql("drop trigger ringfence_event_told on author").unwrap();
    project.server = start(&project.db);
    assert_eq!(project.triggers(), "ringfence_event_told on author");
    assert!(project.server.logged("a trigger is not delivered").is_some(), "the log says so");

    let listed = project.done("get_cron_triggers", json!({})).await;
    assert_eq!(listed["cron_triggers"][0]["retry_conf"]["tolerance_seconds"], 21600);
    let (status, again) = project.command("create_cron_trigger", cron).await;
    assert_eq!(
        (status, &again["error"]),
        (StatusCode::BAD_REQUEST, &json!("cron trigger with name: nightly already exists"))
    );
    project.done("delete_cron_trigger", json!({"name": "nightly"})).await;
    project.done("pg_delete_event_trigger", json!({"name": "told"})).await;
    let state = project.done("get_inconsistent_metadata", json!({})).await;
    assert_eq!(state, json!({"is_consistent": true, "inconsistent_objects": []}));
}

#[tokio::test]
async fn malformed_triggers_are_refused() {
    let project = Project::new().await;
    project.sql("create view authors as select * from author").await;
    project.done("pg_track_table", json!({"table": "author"})).await;
    project.done("pg_track_table", json!({"table": "authors"})).await;
    let all = json!({"columns": "*"});
    for (more, code, text) in [
        (
            json!({}),
            "parse-failed",
            "atleast one amongst insert/update/delete/enable_manual spec must be provided",
        ),
        (
            json!({"name": "a b", "insert": all}),
            "parse-failed",
            "only alphanumeric and underscore and hyphens allowed for name",
        ),
        (
            json!({"name": "x".repeat(43), "insert": all}),
            "parse-failed",
            "event trigger name can be at most 42 characters",
        ),
        (
            json!({"webhook_from_env": "HOOK", "insert": all}),
            "parse-failed",
            "only one of webhook or webhook_from_env should be given",
        ),
        (
            json!({"webhook": null, "insert": all}),
            "parse-failed",
            "must provide webhook or webhook_from_env",
        ),
        (json!({"insert": {"columns": []}}), "parse-failed", "found empty column specification"),
        (json!({"insert": {"columns": ["none"]}}), "not-exists", "\"none\" does not exist"),
        (
            json!({"insert": all, "replace": true}),
            "not-exists",
            "event trigger \"told\" does not exist",
        ),
        (
            json!({"insert": all, "table": "article"}),
            "not-exists",
            "table \"article\" does not exist in source: default",
        ),
        (
            json!({"insert": all, "table": "authors"}),
            "invalid-configuration",
            "Inconsistent object: \"authors\" is no table, so rows of it are never written",
        ),
    ] {
        let (status, answer) = project.listen(more).await;
        assert_eq!(
            (status, &answer["code"], &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!(code), &json!(text))
        );
    }
    project.listen(json!({"insert": all})).await;
    for (name, args, text) in [
        (
            "pg_create_event_trigger",
            json!({"name": "told", "table": "author", "webhook": HOOK, "insert": all}),
            "Event trigger with name \"told\" already exists",
        ),
        (
            "pg_invoke_event_trigger",
            json!({"name": "told", "payload": {}}),
            "manual mode is not enabled for event trigger",
        ),
        (
            "pg_delete_event_trigger",
            json!({"name": "none"}),
            "event trigger \"none\" does not exist",
        ),
        ("pg_redeliver_event", json!({"event_id": "none"}), "event not found"),
        (
            "create_cron_trigger",
            json!({"name": "c", "webhook": HOOK, "schedule": "every day"}),
            "expected a cron schedule of five fields, but found \"every day\"",
        ),
    ] {
        let (status, answer) = project.command(name, args).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!(text)));
    }
    // Somebody holds the table: nothing half-done.
    let holder = project.db.client().await;
    holder.batch_execute("begin; lock table author in share mode").await.unwrap();
    let (status, answer) =
        project.command("pg_delete_event_trigger", json!({"name": "told"})).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{answer}");
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(project.triggers(), "ringfence_event_told on author");
}
