//! Commands on custom types and actions.

use serde_json::{Value, json};

use super::{Project, types};

fn action(output: &str, arguments: Value) -> Value {
    json!({"kind": "synchronous", "handler": "http://h/", "output_type": output, "arguments": arguments})
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_made_changed_and_dropped() {
    let project = Project::new().await;
    let definition = action("Found", json!([]));
    project
        .done("create_action", json!({"name": "one", "definition": definition, "comment": "c"}))
        .await;
    project
        .done(
            "create_action_permission",
            json!({"action": "one", "role": "user", "comment": "why"}),
        )
        .await;
    let exported = project.done("export_metadata", json!({})).await;
    let one = json!([{"name": "one", "comment": "c", "permissions": [{"role": "user", "comment": "why"}],
        "definition": {"handler": "http://h/", "output_type": "Found", "type": "mutation", "kind": "synchronous"}}]);
    assert_eq!(exported["actions"], one);
    let mut expected = types();
    for object in expected["objects"].as_array_mut().expect("objects") {
        for relationship in object["relationships"].as_array_mut().expect("relationships") {
            let table = relationship["remote_table"].clone();
            relationship["remote_table"] = json!({"schema": "public", "name": table});
        }
    }
    assert_eq!(exported["custom_types"], expected);
    let refused: &[(&str, Value, &str, &str)] = &[
        (
            "create_action",
            json!({"name": "one", "definition": definition}),
            "already-exists",
            "action with name \"one\" already exists",
        ),
        (
            "update_action",
            json!({"name": "two", "definition": definition}),
            "not-exists",
            "action with name \"two\" does not exist",
        ),
        (
            "drop_action",
            json!({"name": "two"}),
            "not-exists",
            "action with name \"two\" does not exist",
        ),
        (
            "create_action_permission",
            json!({"action": "one", "role": "user"}),
            "already-exists",
            "permission for role \"user\" is already defined on \"one\"",
        ),
        (
            "create_action_permission",
            json!({"action": "two", "role": "user"}),
            "not-exists",
            "action with name \"two\" does not exist",
        ),
        (
            "drop_action_permission",
            json!({"action": "one", "role": "nobody"}),
            "not-exists",
            "permission for role: \"nobody\" is not defined on \"one\"",
        ),
        (
            "create_action",
            json!({"name": "two", "definition": {"handler": "http://h/"}}),
            "parse-failed",
            "key \"output_type\" not found",
        ),
        (
            "create_action",
            json!({"name": "two", "definition": action("Nope", json!([]))}),
            "invalid-configuration",
            "Inconsistent object: in action \"two\"; the type: \"Nope\" is not an object type defined in custom types",
        ),
        (
            "create_action",
            json!({"name": "two", "definition": action("NewUser", json!([]))}),
            "invalid-configuration",
            "Inconsistent object: in action \"two\"; the type: \"NewUser\" is not an object type defined in custom types",
        ),
        (
            "create_action",
            json!({"name": "two", "definition": action("Found", json!([{"name": "a", "type": "Found!"}]))}),
            "invalid-configuration",
            "Inconsistent object: in action \"two\"; the type: \"Found\" is not defined in custom types or it is not a scalar/enum/input_object",
        ),
        (
            "create_action",
            json!({"name": "two", "definition": {"handler": "{{NOT_SET}}/x", "output_type": "Found"}}),
            "invalid-configuration",
            "Inconsistent object: in action \"two\"; Value for environment variables not found: NOT_SET",
        ),
        (
            "create_action",
            json!({"name": "two", "definition": {"handler": "ftp://x", "output_type": "Found"}}),
            "invalid-configuration",
            "Inconsistent object: in action \"two\"; the handler must be a URL that begins with http:// or https://",
        ),
        (
            "create_action",
            json!({"name": "two", "definition": {"handler": "http://h/", "output_type": "Found", "kind": "asynchronous"}}),
            "invalid-configuration",
            "Inconsistent object: in action \"two\"; asynchronous actions are not run by this version",
        ),
    ];
    for (name, args, code, message) in refused {
        let (status, answer) = project.command(name, args.clone()).await;
        assert_eq!(status, 400, "{name}: {answer}");
        assert_eq!(
            (answer["code"].as_str(), answer["error"].as_str()),
            (Some(*code), Some(*message)),
            "{args}"
        );
    }
    // A name that a table's field has.
    let (_, answer) = project
        .command("create_action", json!({"name": "insert_note", "definition": definition}))
        .await;
    assert_eq!(
        answer["error"],
        "found duplicate fields in selection set for mutation root: insert_note"
    );

    let changed = action("[Found!]!", json!([{"name": "a", "type": "[Int]"}]));
    project.done("update_action", json!({"name": "one", "definition": changed})).await;
    let exported = project.done("export_metadata", json!({})).await;
    assert_eq!(exported["actions"][0]["definition"]["output_type"], "[Found!]!");
    assert_eq!(exported["actions"][0]["permissions"][0]["role"], "user");
    project.done("drop_action_permission", json!({"action": "one", "role": "user"})).await;
    project.done("drop_action", json!({"name": "one", "clear_data": true})).await;
    let exported = project.done("export_metadata", json!({})).await;
    assert!(exported.get("actions").is_none(), "{exported}");
    project.done("set_custom_types", json!({"objects": null, "scalars": []})).await;
    let exported = project.done("export_metadata", json!({})).await;
    assert!(exported.get("custom_types").is_none(), "{exported}");
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_cannot_be_are_refused() {
    let project = Project::new().await;
    let object = |fields: Value, relationships: Value| json!({"objects": [{"name": "T", "fields": fields, "relationships": relationships}]});
    let id = json!([{"name": "id", "type": "Int!"}, {"name": "ids", "type": "[Int]"}]);
    let to = |table: &str, mapping: Value| json!([{"name": "r", "type": "array", "remote_table": table, "field_mapping": mapping}]);
    let because = "validation for the given custom types failed because ";
    for (types, reason) in [
        (
            json!({"scalars": [{"name": "A"}], "enums": [{"name": "A", "values": [{"value": "x"}]}]}),
            "duplicate type names: \"A\"",
        ),
        (
            json!({"objects": [{"name": "note", "fields": id}]}),
            "the type name \"note\" is used already",
        ),
        (
            json!({"objects": [{"name": "a b", "fields": id}]}),
            "\"a b\" is not a valid GraphQL name",
        ),
        (
            json!({"enums": [{"name": "E", "values": [{"value": "x"}, {"value": "x"}]}]}),
            "the enum type \"E\" has duplicate values: \"x\"",
        ),
        (
            object(json!([{"name": "x", "type": "Nope"}]), json!([])),
            "the type \"Nope\" for field \"x\" in  object type \"T\" does not exist",
        ),
        (
            object(json!([{"name": "x", "type": "[Int"}]), json!([])),
            "\"[Int\" is no type of GraphQL",
        ),
        (
            object(json!([{"name": "x", "type": "Int"}, {"name": "x", "type": "Int"}]), json!([])),
            "the object \"T\" has duplicate fields: \"x\"",
        ),
        (
            json!({"input_objects": [{"name": "I", "fields": [{"name": "x", "type": "Nope"}]}]}),
            "the type \"Nope\" for field \"x\" in  input object type \"I\" does not exist",
        ),
        (
            object(id.clone(), to("nope", json!({"id": "id"}))),
            "the remote table \"nope\" for relationship \"r\" of object type \"T\" does not exist",
        ),
        (
            object(id.clone(), to("note", json!({"nope": "id"}))),
            "the field \"nope\" for relationship \"r\" in object type \"T\" does not exist",
        ),
        (
            object(id.clone(), to("note", json!({"ids": "id"}))),
            "the type of the field \"ids\" for relationship \"r\" in object type \"T\" is a list type",
        ),
        (
            object(id.clone(), to("note", json!({"id": "nope"}))),
            "the column \"nope\" of remote table \"note\" for relationship \"r\" of object type \"T\" does not exist",
        ),
    ] {
        let (status, answer) = project.command("set_custom_types", types.clone()).await;
        assert_eq!(
            (status.as_u16(), answer["code"].as_str()),
            (400, Some("invalid-configuration")),
            "{types}: {answer}"
        );
        assert_eq!(answer["error"], format!("Inconsistent object: {because}{reason}"));
        assert_eq!(answer["internal"][0]["type"], "custom_types", "{answer}");
    }
    let two =
        json!({"enums": [{"name": "E", "values": []}], "objects": [{"name": "O", "fields": []}]});
    let (_, answer) = project.command("set_custom_types", two).await;
    assert_eq!(
        answer["error"],
        "Inconsistent object: validation for the given custom types failed for the following reasons:\n  \
        • the enum type \"E\" has no values\n  • the object type \"O\" has no fields\n"
    );
    // Types of Postgres need no table to have them, and may be named again.
    project.done("set_custom_types", json!({"scalars": [{"name": "uuid"}, {"name": "own"}],
        "objects": [{"name": "T", "fields": [{"name": "a", "type": "uuid!"}, {"name": "b", "type": "timestamptz"}, {"name": "c", "type": "own"}]}]})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_and_tables_in_use_stay() {
    let project = Project::new().await;
    project.scripted("one", "Found", json!({"body": {"id": 1}})).await;
    let (status, answer) = project.command("set_custom_types", json!({})).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["internal"][0]["name"], "action one", "{answer}");
    let (status, answer) = project.command("pg_untrack_table", json!({"table": "note"})).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error"].to_string().contains("custom types"), "{answer}");

    // Relationships follow a table's new names.
    project.done("run_sql", json!({"sql": "alter table note rename column account_id to about; alter table note rename to memo"})).await;
    let exported = project.done("export_metadata", json!({})).await;
    let notes = &exported["custom_types"]["objects"][0]["relationships"][1];
    assert_eq!(
        (&notes["remote_table"]["name"], &notes["field_mapping"]),
        (&json!("memo"), &json!({"id": "about"}))
    );
    let answer =
        project.admin("mutation { one { notes(order_by: {id: asc}, limit: 1) { about } } }").await;
    assert_eq!(answer["data"]["one"]["notes"], json!([{"about": 1}]), "{answer}");

    // What goes with a table goes alone.
    project.done("run_sql", json!({"sql": "drop table memo", "cascade": true})).await;
    let answer = project.admin("mutation { one { id account { name } } }").await;
    assert_eq!(answer["data"]["one"], json!({"id": 1, "account": {"name": "Ada"}}), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_elsewhere_is_kept_and_what_is_wrong_is_listed() {
    let project = Project::new().await;
    let mut metadata = project.done("export_metadata", json!({})).await;
    metadata["actions"] = json!([
        {"name": "later", "definition": {"handler": "http://h/", "output_type": "Found", "kind": "asynchronous"}},
        {"name": "lost", "definition": {"handler": "{{NOT_SET}}", "output_type": "Found", "headers": null, "arguments": null}},
        {"name": "fine", "definition": {"handler": "http://h/", "output_type": "Found", "type": "query"}},
    ]);
    let args = json!({"allow_inconsistent_metadata": true, "metadata": metadata});
    let answer = project.done("replace_metadata", args).await;
    let listed: Vec<(&str, &str)> = answer["inconsistent_objects"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|found| (found["name"].as_str().unwrap_or(""), found["reason"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        listed,
        [
            (
                "action later",
                "Inconsistent object: in action \"later\"; asynchronous actions are not run by this version"
            ),
            (
                "action lost",
                "Inconsistent object: in action \"lost\"; Value for environment variables not found: NOT_SET"
            ),
        ]
    );
    let exported = project.done("export_metadata", json!({})).await;
    assert_eq!(exported["actions"].as_array().map(Vec::len), Some(3));
    let answer = project
        .admin("{ __schema { queryType { fields { name } } mutationType { fields { name } } } }")
        .await;
    let schema = answer["data"]["__schema"].to_string();
    assert!(
        schema.contains("\"fine\"")
            && !schema.contains("\"later\"")
            && !schema.contains("\"lost\""),
        "{schema}"
    );
    project.done("drop_inconsistent_metadata", json!({})).await;
    let exported = project.done("export_metadata", json!({})).await;
    assert_eq!(exported["actions"].as_array().map(Vec::len), Some(1));
}
