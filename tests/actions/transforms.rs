//! Templates that make of a request what a handler wants, and of its answer
//! what the action promises.

use serde_json::json;

use super::{Project, error_of};

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_transformed() {
    let project = Project::new().await;
    let arguments = json!([{"name": "arg", "type": "NewUser!"}]);
    let transform = json!({
        "version": 2, "template_engine": "Kriti", "method": "PUT",
        "url": "{{$base_url}}/users/{{ escapeUri($body.input.arg.name) }}",
        "query_params": {"role": "{{$session_variables['x-hasura-role']}}", "none": "{{$body.input.arg?.id}}", "a b": "1&2"},
        "body": {"action": "transform", "template":
            "{ \"user\": {{$body.input.arg.name}}, \"tags\": {{ range _, t := $body.input.arg.tags }} {{ toUpper(t) }} {{ end }} }"},
        "request_headers": {"add_headers": {"x-user": "{{$body.input.arg.name}}"}, "remove_headers": ["x-own"]},
    });
    let more = json!({"request_transform": transform, "headers": [{"name": "x-own", "value": "1"}],
        "response_transform": {"version": 2, "template_engine": "Kriti", "body": {"action": "transform",
            "template": "{ \"id\": {{ size($request.body.input.arg.tags) }}, \"note\": \"{{ $response.status }} {{ $body ?? \"nothing\" }}\" }"}}});
    project.action("make", arguments, "Found", "{{HANDLERS}}", more).await;
    let query = "mutation { make(arg: {name: \"Ada & co\", tags: [\"a\", \"b\"]}) { id note } }";
    let answer = project.admin(query).await;
    assert_eq!(answer["data"]["make"], json!({"id": 2, "note": "200 nothing"}), "{answer}");
    let seen = project.handlers.last();
    assert_eq!(seen.method, "PUT");
    assert_eq!(seen.uri.to_string(), "/users/Ada%20%26%20co?role=admin&a%20b=1%262");
    assert_eq!(seen.json(), json!({"user": "Ada & co", "tags": ["A", "B"]}));
    assert_eq!((seen.header("x-user"), seen.header("x-own")), (Some("Ada & co"), None));

    // A value that a template needs is not there; one that no header may have.
    let answer = project.admin("mutation { make(arg: {name: \"Ada\"}) { id } }").await;
    assert_eq!(error_of(&answer), ("Request Transformation Failed", "unexpected", "$"));
    let internal = &answer["errors"][0]["extensions"]["internal"][0];
    assert_eq!(internal["error_code"], "Invalid Path", "{answer}");
    let answer = project
        .admin("mutation { make(arg: {name: \"a\\r\\nx-evil: 1\", tags: []}) { id } }")
        .await;
    assert_eq!(error_of(&answer).0, "Request Transformation Failed");
    assert_eq!(project.handlers.take().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_may_be_forms_or_nothing() {
    let project = Project::new().await;
    let arguments = json!([{"name": "text", "type": "String!"}]);
    let says = project.handlers.says(&json!({"body": {"id": 3}}));
    let transform = |body: serde_json::Value, method: &str| json!({"request_transform": {"version": 2, "method": method, "body": body}});
    let form = json!({"action": "x_www_form_urlencoded", "form_template": {"a": "{{$body.input.text}}", "b c": "1"}});
    project.action("form", arguments.clone(), "Found", &says, transform(form, "POST")).await;
    project
        .action(
            "get",
            arguments.clone(),
            "Found",
            &says,
            transform(json!({"action": "remove"}), "GET"),
        )
        .await;
    project.admin("mutation { form(text: \"x=1&y\") { id } }").await;
    let seen = project.handlers.last();
    assert_eq!(seen.text, "a=x%3D1%26y&b%20c=1");
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    let answer = project.admin("mutation { get(text: \"x\") { id } }").await;
    assert_eq!(answer["data"]["get"]["id"], json!(3), "{answer}");
    let seen = project.handlers.last();
    assert_eq!((seen.method.as_str(), seen.text.as_str()), ("GET", ""));

    // The first version: a template alone.
    let first = json!({"request_transform": {"body": "{\"t\": {{$body.input.text}}}"}, "response_transform": {"body": "{\"id\": {{$body.id}}}"}});
    project.action("first", arguments, "Found", &says, first).await;
    let answer = project.admin("mutation { first(text: \"x\") { id } }").await;
    assert_eq!(answer["data"]["first"]["id"], json!(3), "{answer}");
    assert_eq!(project.handlers.last().json(), json!({"t": "x"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_stay_what_handlers_may_have() {
    let project = Project::new().await;
    let arguments = json!([{"name": "url", "type": "String!"}]);
    let more = json!({"request_transform": {"version": 2, "url": "{{$body.input.url}}"}});
    project.action("steered", arguments, "Found", "{{HANDLERS}}", more).await;
    for (url, what) in [
        ("file:///etc/passwd", "http and https"),
        ("http://169.254.169.254/latest/meta-data", "actions.deny_networks"),
        ("http://[fe80::1]/", "actions.deny_networks"),
        ("no url", "Invalid URL"),
    ] {
        let query = "mutation ($u: String!) { steered(url: $u) { id } }";
        let answer = project.ask(&[], query, json!({"u": url})).await;
        let internal = answer["errors"][0]["extensions"]["internal"].to_string();
        assert!(internal.contains(what), "{url}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_read_when_an_action_is_defined() {
    let project = Project::new().await;
    for (transform, what) in [
        (json!({"request_transform": {"url": "{{ $body."}}), "the template of url cannot be read"),
        (
            json!({"request_transform": {"version": 2, "body": {"action": "transform", "template": "{{ if }}"}}}),
            "the body of request_transform",
        ),
        (json!({"request_transform": {"version": 3}}), "expected 1 or 2, encountered 3"),
        (json!({"request_transform": {"template_engine": "Go"}}), "must be Kriti"),
        (json!({"request_transform": {"method": "G E T"}}), "no method of HTTP"),
        (
            json!({"request_transform": {"request_headers": {"add_headers": {"a b": "x"}}}}),
            "no name of a header",
        ),
        (
            json!({"response_transform": {"version": 2, "body": {"action": "explode"}}}),
            "response_transform",
        ),
    ] {
        let mut definition = json!({"handler": "http://h/", "output_type": "Found"});
        for (key, value) in transform.as_object().expect("an object") {
            definition[key] = value.clone();
        }
        let (status, answer) =
            project.command("create_action", json!({"name": "x", "definition": definition})).await;
        assert_eq!(
            (status.as_u16(), answer["code"].as_str()),
            (400, Some("invalid-configuration")),
            "{answer}"
        );
        assert!(answer["error"].to_string().contains(what), "{transform}: {answer}");
    }
}
