//! What handlers are sent, what they may answer, and who may call them.

use serde_json::{Value, json};

use super::client::Client;
use super::harness::Token;
use super::{ACME, Project, error_of, json_of};

#[tokio::test(flavor = "multi_thread")]
async fn arguments_reach_the_handler_as_they_were_sent() {
    let project = Project::new().await;
    let says = project.handlers.says(&json!({"body": {"id": 1, "note": "x"}}));
    let arguments = json!([
        {"name": "arg", "type": "NewUser!"}, {"name": "ids", "type": "[ID!]"},
        {"name": "count", "type": "Int"}, {"name": "any", "type": "jsonb"}]);
    project.action("make", arguments, "Found", &says, json!({})).await;
    let document = "mutation ($user: NewUser!, $n: String = \"d\", $ids: [ID!], $none: Int) {
        make(arg: $user, ids: $ids, count: $none, any: {n: $n, big: 12345678901234567890.50}) { id, again: note, __typename } }";
    let variables = json!({"user": {"name": "Ada", "id": 5, "colour": "RED", "tags": "one",
        "friends": {"name": "Ben", "tags": [null, "x"]}, "more": {"a": [1.0, null]}}, "ids": 7});
    let answer = project.ask(&[], document, variables).await;
    let expected = json!({"data": {"make": {"id": 1, "again": "x", "__typename": "Found"}}});
    assert_eq!(answer, expected);
    let seen = project.handlers.last();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.header("content-type"), Some("application/json"));
    let sent = seen.json();
    assert_eq!(sent["action"], json!({"name": "make"}));
    assert_eq!(sent["session_variables"], json!({"x-hasura-role": "admin"}));
    assert_eq!(sent["request_query"], json!(document));
    let input = json!({
        "arg": {"name": "Ada", "id": "5", "colour": "RED", "tags": ["one"],
            "friends": [{"name": "Ben", "tags": [null, "x"]}], "more": {"a": [1.0, null]}},
        "ids": ["7"], "any": {"n": "d", "big": 12_345_678_901_234_567_890.5}});
    assert_eq!(sent["input"], input);
    assert!(seen.text.contains("12345678901234567890.50"), "digits stay: {}", seen.text);

    // The same document again, from the cache, with other values.
    let variables = json!({"user": {"name": "Eve"}, "none": 3, "n": null});
    project.ask(&[], document, variables).await;
    let sent = project.handlers.last().json();
    let input = json!({"arg": {"name": "Eve"}, "count": 3, "any": {"n": null, "big": 12_345_678_901_234_567_890.5}});
    assert_eq!(sent["input"], input);

    // Literals.
    let literal = "mutation { make(arg: {name: \"A\", colour: BLUE, friends: {name: \"B\"}, id: 9}, ids: [1, \"b\"]) { id } }";
    project.admin(literal).await;
    let input = json!({"arg": {"name": "A", "colour": "BLUE", "friends": [{"name": "B"}], "id": "9"}, "ids": ["1", "b"]});
    assert_eq!(project.handlers.last().json()["input"], input);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_do_not_reach_the_handler() {
    let project = Project::new().await;
    let says = project.handlers.says(&json!({"body": {"id": 1}}));
    let arguments = json!([{"name": "arg", "type": "NewUser!"}, {"name": "count", "type": "Int"}]);
    project.action("make", arguments, "Found", &says, json!({})).await;
    let at = "$.selectionSet.make.args.arg";
    for (query, message, path) in [
        ("mutation { make { id } }", "missing required field \"arg\"", at),
        ("mutation { make(arg: null) { id } }", "expected an object", at),
        (
            "mutation { make(arg: {}) { id } }",
            "missing required field \"name\"",
            "$.selectionSet.make.args.arg.name",
        ),
        (
            "mutation { make(arg: {name: null}) { id } }",
            "unexpected null value",
            "$.selectionSet.make.args.arg.name",
        ),
        (
            "mutation { make(arg: {name: \"a\", nope: 1}) { id } }",
            "\"nope\" not found in type: 'NewUser'",
            "$.selectionSet.make.args.arg.nope",
        ),
        (
            "mutation { make(arg: {name: \"a\", colour: \"RED\"}) { id } }",
            "expected an enum value",
            "$.selectionSet.make.args.arg.colour",
        ),
        (
            "mutation { make(arg: {name: \"a\", colour: GREEN}) { id } }",
            "RED or BLUE",
            "$.selectionSet.make.args.arg.colour",
        ),
        (
            "mutation { make(arg: {name: \"a\", friends: [{}]}) { id } }",
            "missing required field \"name\"",
            "$.selectionSet.make.args.arg.friends[0].name",
        ),
        (
            "mutation { make(arg: {name: \"a\", friends: [null]}) { id } }",
            "null",
            "$.selectionSet.make.args.arg.friends[0]",
        ),
        (
            "mutation { make(arg: {name: \"a\"}, count: \"5\") { id } }",
            "expected a 32-bit integer",
            "$.selectionSet.make.args.count",
        ),
        (
            "mutation { make(arg: {name: \"a\"}, other: 5) { id } }",
            "no argument named \"other\"",
            "$.selectionSet.make",
        ),
        ("mutation { make(arg: {name: \"a\"}) }", "missing selection set", "$.selectionSet.make"),
        (
            "mutation { make(arg: {name: \"a\"}) { id { x } } }",
            "unexpected subselection",
            "$.selectionSet.make.selectionSet.id",
        ),
        (
            "mutation { make(arg: {name: \"a\"}) { nope } }",
            "\"nope\" not found in type: 'Found'",
            "$.selectionSet.make.selectionSet.nope",
        ),
    ] {
        let answer = project.admin(query).await;
        let (found, _, at) = error_of(&answer);
        assert!(found.contains(message), "{query}: {found}");
        assert_eq!(at, path, "{query}");
    }
    let document = "mutation ($u: NewUser!) { make(arg: $u) { id } }";
    for (variables, message) in [
        (json!({}), "non-nullable variable"),
        (json!({"u": null}), "expected an object"),
        (json!({"u": 5}), "expected an object"),
        (json!({"u": {"name": "a", "colour": "GREEN"}}), "RED or BLUE"),
        (
            json!({"u": {"name": "a", "friends": [{"name": "b", "friends": {}}]}}),
            "missing required field \"name\"",
        ),
        (json!({"u": {"name": "a", "zzz": 1}}), "\"zzz\" not found"),
    ] {
        let answer = project.ask(&[], document, variables.clone()).await;
        assert!(error_of(&answer).0.contains(message), "{variables}: {answer}");
    }
    let mismatch =
        "mutation ($u: [NewUser!]) { make(arg: {name: \"x\", friends: $u, colour: $u}) { id } }";
    assert!(error_of(&project.admin(mismatch).await).0.contains("declared as '[NewUser!]'"));
    assert_eq!(project.handlers.take().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_call_see_an_action() {
    let project = Project::new().await;
    project.scripted("change", "Found", json!({"body": {"id": 1}})).await;
    let says = project.handlers.says(&json!({"body": [{"id": 1}, null]}));
    project.action("look", json!([]), "[Found]", &says, json!({"type": "query"})).await;
    project.permit("look", "user").await;
    project
        .done("add_inherited_role", json!({"role_name": "boss", "role_set": ["user", "other"]}))
        .await;

    let expected = json!({"data": {"look": [{"id": 1}, null]}});
    assert_eq!(project.user(ACME, "{ look { id } }").await, expected);
    assert_eq!(
        project.ask(&[("x-hasura-role", "boss")], "{ look { id } }", json!({})).await,
        expected
    );
    for (role, query, message) in [
        ("user", "mutation { change { id } }", "no mutations exist"),
        ("other", "{ look { id } }", "field \"look\" not found in type: 'query_root'"),
        ("admin", "mutation { look { id } }", "field \"look\" not found in type: 'mutation_root'"),
        (
            "admin",
            "subscription { look { id } }",
            "field \"look\" not found in type: 'subscription_root'",
        ),
    ] {
        let answer = project.ask(&[("x-hasura-role", role)], query, json!({})).await;
        assert_eq!(error_of(&answer).0, message, "{role}: {query}");
    }
    project.done("drop_action_permission", json!({"action": "look", "role": "user"})).await;
    let answer = project.user(ACME, "{ look { id } }").await;
    assert_eq!(error_of(&answer).0, "field \"look\" not found in type: 'query_root'");

    let introspection = "{ __type(name: \"Found\") { name description fields { name type { kind name ofType { name } } } }
        __schema { mutationType { fields { name type { name } } } queryType { fields { name type { kind ofType { kind name } } } } } }";
    let answer = project.admin(introspection).await;
    let look = json!({"name": "look", "type": {"kind": "LIST", "ofType": {"kind": "OBJECT", "name": "Found"}}});
    let fields = answer["data"]["__schema"]["queryType"]["fields"].as_array().expect("fields");
    assert!(fields.contains(&look), "{answer}");
    assert_eq!(answer["data"]["__type"]["description"], "what was found");
    let answer = project.user(ACME, introspection).await;
    assert!(answer["data"]["__schema"]["mutationType"].is_null(), "{answer}");
    assert!(answer["data"]["__type"].is_null(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_go_to_handlers_that_want_them() {
    let project = Project::new().await;
    let says = project
        .handlers
        .says(&json!({"body": {"id": 1}, "headers": {"Set-Cookie": "a=b; HttpOnly"}}));
    let own = json!([{"name": "X-Own", "value": "1"}, {"name": "x-key", "value_from_env": "KEY_OF_HANDLER"}]);
    project.action("plain", json!([]), "Found", &says, json!({"headers": own})).await;
    project
        .action(
            "forwards",
            json!([]),
            "Found",
            &says,
            json!({"headers": own, "forward_client_headers": true}),
        )
        .await;
    let headers = [
        ("authorization", "Bearer x"),
        ("cookie", "c=1"),
        ("x-own", "2"),
        ("x-custom", "y"),
        ("user-agent", "me"),
    ];
    let body = json!({"query": "mutation { plain { id } }"});
    let response = project.send("/v1/graphql", &headers, &body).await;
    assert_eq!(response.headers().get("set-cookie").expect("a cookie"), "a=b; HttpOnly");
    let seen = project.handlers.last();
    assert_eq!((seen.header("x-own"), seen.header("x-key")), (Some("1"), Some("sesame")));
    assert_eq!((seen.header("authorization"), seen.header("x-custom")), (None, None));

    let body = json!({"query": "mutation { forwards { id } }"});
    json_of(project.send("/v1/graphql", &headers, &body).await).await;
    let seen = project.handlers.last();
    assert_eq!((seen.header("x-own"), seen.header("x-key")), (Some("1"), Some("sesame")));
    assert_eq!(
        (seen.header("authorization"), seen.header("cookie")),
        (Some("Bearer x"), Some("c=1"))
    );
    assert_eq!(seen.header("x-forwarded-user-agent"), Some("me"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert!(!format!("{:?}", seen.headers).contains(super::SECRET), "{:?}", seen.headers);

    let unset = json!([{"name": "x", "value_from_env": "NOT_SET_ANYWHERE"}]);
    project.action("lacking", json!([]), "Found", &says, json!({"headers": unset})).await;
    let answer = project.admin("mutation { lacking { id } }").await;
    assert_eq!(
        error_of(&answer),
        ("environment variable 'NOT_SET_ANYWHERE' not set", "not-found", "$")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_get_the_token_that_a_socket_has_now() {
    let project = Project::new().await;
    let says = project.handlers.says(&json!({"body": {"id": 1}}));
    let more = json!({"forward_client_headers": true});
    project.action("forwards", json!([]), "Found", &says, more).await;
    project.permit("forwards", "user").await;
    let token = |number| Token::new("user").tenant("acme").user("1").top("jti", number).bearer();
    let (first, second) = (token(1), token(2));
    for (protocol, begin, renewal) in
        [("graphql-transport-ws", "subscribe", "ping"), ("graphql-ws", "start", "connection_init")]
    {
        let handshake = [("x-custom", "y"), ("cookie", "c=1")];
        let mut client =
            Client::open(project.server.address, Some(protocol), &handshake).await.expect("opens");
        let offer = |kind: &str, bearer: &str| {
            let payload = json!({"headers": {"Authorization": bearer}});
            json!({"type": kind, "payload": payload}).to_string()
        };
        for (bearer, kind) in [(&first, "connection_init"), (&second, renewal)] {
            client.send(offer(kind, bearer)).await;
            let said = client.json().await;
            assert!(said["payload"]["errors"].is_null(), "{said}");
            let run = json!({"id": "a", "type": begin,
                "payload": {"query": "mutation { forwards { id } }"}});
            client.send(run.to_string()).await;
            while client.json().await["type"] != "complete" {}
            let seen = project.handlers.last();
            assert_eq!(seen.header("authorization"), Some(bearer.as_str()), "{protocol} {kind}");
            // What the payload does not replace is that of the handshake.
            assert_eq!((seen.header("x-custom"), seen.header("cookie")), (Some("y"), Some("c=1")));
        }
        // A token that is refused changes nothing.
        let other = Token::new("user").tenant("globex").user("1").bearer();
        client.send(offer(renewal, &other)).await;
        let run = json!({"id": "b", "type": begin,
            "payload": {"query": "mutation { forwards { id } }"}});
        client.send(run.to_string()).await;
        while client.json().await["type"] != "complete" {}
        let seen = project.handlers.last();
        assert_eq!(seen.header("authorization"), Some(second.as_str()), "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_replace_headers_and_do_not_pile_them_up() {
    let project = Project::new().await;
    let bearer = Token::new("user").tenant("acme").user("1").bearer();
    for (protocol, begin, renewal) in
        [("graphql-transport-ws", "subscribe", "ping"), ("graphql-ws", "start", "connection_init")]
    {
        let handshake = [("x-custom", "y"), ("x-language", "of the handshake")];
        let mut client =
            Client::open(project.server.address, Some(protocol), &handshake).await.expect("opens");
        let payload = json!({"headers": {"Authorization": bearer, "x-first": "1"}});
        client.send(json!({"type": "connection_init", "payload": payload}).to_string()).await;
        assert_eq!(client.json().await["type"], "connection_ack");
        if protocol == "graphql-transport-ws" {
            // Nobody wanted headers when this socket began.
            let says = project.handlers.says(&json!({"body": {"id": 1}}));
            let more = json!({"forward_client_headers": true});
            project.action("forwards", json!([]), "Found", &says, more).await;
            project.permit("forwards", "user").await;
        }
        // More names than a map of headers can hold.
        for round in 0..600 {
            let mut headers = json!({"Authorization": bearer, "x-language": round.to_string()});
            for n in 0..60 {
                headers[format!("x-{round}-{n}")] = "z".into();
            }
            let payload = json!({ "headers": headers });
            client.send(json!({"type": renewal, "payload": payload}).to_string()).await;
            let mut said = client.json().await;
            while said["type"] == "ka" {
                said = client.json().await;
            }
            assert!(said["payload"]["errors"].is_null(), "{said}");
            assert_ne!(said["type"], "connection_error", "{said}");
        }
        let run = json!({"id": "a", "type": begin,
            "payload": {"query": "mutation { forwards { id } }"}});
        client.send(run.to_string()).await;
        while client.json().await["type"] != "complete" {}
        let seen = project.handlers.last();
        assert_eq!(seen.header("authorization"), Some(bearer.as_str()), "{protocol}");
        assert_eq!(seen.header("x-custom"), Some("y"), "{protocol}");
        assert_eq!(seen.header("x-language"), Some("599"), "{protocol}");
        assert_eq!(seen.header("x-599-59"), Some("z"), "{protocol}");
        for earlier in ["x-first", "x-0-0", "x-598-59"] {
            assert_eq!(seen.header(earlier), None, "{protocol}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_refuses_is_told_in_its_words() {
    let project = Project::new().await;
    project
        .scripted(
            "told",
            "Found",
            json!({"status": 422, "body": {"message": "no", "code": "taken"}}),
        )
        .await;
    project.scripted("bare", "Found", json!({"status": 400, "body": {"message": "no"}})).await;
    project
        .scripted("whole", "Found", json!({"status": 401, "body": {"message": "no", "code": "x", "extensions": {"code": "y", "more": [1]}}}))
        .await;
    let error = |answer: Value| answer["errors"][0].clone();
    let told = error(project.admin("mutation { told { id } }").await);
    assert_eq!(told, json!({"message": "no", "extensions": {"path": "$", "code": "taken"}}));
    let bare = error(project.admin("mutation { bare { id } }").await);
    assert_eq!(bare, json!({"message": "no", "extensions": {"path": "$", "code": "unexpected"}}));
    let whole = error(project.admin("mutation { whole { id } }").await);
    assert_eq!(whole, json!({"message": "no", "extensions": {"code": "y", "more": [1]}}));

    project.scripted("odd", "Found", json!({"status": 400, "body": {"msg": "no"}})).await;
    project
        .scripted("broken", "Found", json!({"status": 500, "body": {"message": "secret"}}))
        .await;
    project
        .scripted(
            "moved",
            "Found",
            json!({"status": 302, "headers": {"location": project.handlers.base()}, "body": {}}),
        )
        .await;
    project.scripted("text", "Found", json!({"text": "<html>"})).await;
    project.action("nobody", json!([]), "Found", "http://127.0.0.1:1/", json!({})).await;
    project.handlers.take();
    for (name, message, code, internal) in [
        ("odd", "key \"message\" not found", "parse-failed", "unexpected response"),
        (
            "broken",
            "internal error",
            "unexpected",
            "expecting 2xx or 4xx status code, but found 500",
        ),
        (
            "moved",
            "internal error",
            "unexpected",
            "expecting 2xx or 4xx status code, but found 302",
        ),
        ("text", "not a valid json response from webhook", "unexpected", "invalid json: "),
        ("nobody", "http exception when calling webhook", "unexpected", "http_exception"),
    ] {
        let query = format!("mutation {{ {name} {{ id }} }}");
        let answer = project.admin(&query).await;
        assert_eq!(error_of(&answer), (message, code, "$"), "{name}");
        let told = answer["errors"][0]["extensions"]["internal"]["error"].to_string();
        assert!(told.contains(internal), "{name}: {told}");
        // Nobody else is told what passed between the two.
        project.permit(name, "user").await;
        let answer = project.user(ACME, &query).await;
        assert_eq!(error_of(&answer), (message, code, "$"), "{name}");
        assert!(!answer.to_string().contains("internal\""), "{name}: {answer}");
    }
    assert_eq!(project.handlers.take().len(), 8, "a redirect is not followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_huge_answers_end() {
    let project = Project::with(&[("RINGFENCE_ACTIONS_MAX_RESPONSE", "1MiB")]).await;
    let slow = project.handlers.says(&json!({"wait": 60_000, "body": {"id": 1}}));
    project.action("slow", json!([]), "Found", &slow, json!({"timeout": 1})).await;
    let answer = project.admin("mutation { slow { id } }").await;
    assert_eq!(error_of(&answer).0, "http exception when calling webhook");
    let reason = answer["errors"][0]["extensions"]["internal"]["error"]["message"].to_string();
    assert!(reason.contains("within 1 seconds"), "{reason}");

    project.scripted("huge", "Found", json!({"size": 2 << 20})).await;
    let answer = project.admin("mutation { huge { id } }").await;
    let reason = answer["errors"][0]["extensions"]["internal"]["error"]["message"].to_string();
    assert!(reason.contains("larger than 1048576 bytes (actions.max_response)"), "{answer}");
    project.scripted("large", "String", json!({"size": 900_000})).await;
    let answer = project.admin("mutation { large }").await;
    assert_eq!(answer["data"]["large"].as_str().map(str::len), Some(900_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_can_be_denied() {
    let project =
        Project::with(&[("RINGFENCE_ACTIONS_DENY_NETWORKS", "127.0.0.0/8,::1/128")]).await;
    let port = project.handlers.address.port();
    for (index, host) in
        ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"].iter().enumerate()
    {
        let name = format!("denied_{index}");
        project
            .action(&name, json!([]), "Found", &format!("http://{host}:{port}/"), json!({}))
            .await;
        let answer = project.admin(&format!("mutation {{ {name} {{ id }} }}")).await;
        let reason = answer["errors"][0]["extensions"]["internal"]["error"]["message"].to_string();
        assert!(reason.contains("actions.deny_networks"), "{host}: {answer}");
    }
    assert_eq!(project.handlers.take().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_must_have_the_shape_of_the_output_type() {
    let project = Project::new().await;
    let parse = "expecting null, object or array of objects for action webhook response";
    let cases: &[(&str, Value, Result<Value, &str>)] = &[
        ("Found", json!({"id": 1}), Ok(json!({"id": 1, "note": null, "inner": null}))),
        ("Found", json!(null), Ok(json!(null))),
        ("Found!", json!(null), Err("got null for the action webhook response")),
        ("Found", json!([]), Err("expecting object for action webhook response but got array")),
        (
            "[Found]",
            json!({"id": 1}),
            Err("expecting array for action webhook response but got object"),
        ),
        ("[Found!]", json!([{"id": 1}, null]), Err("got null for the action webhook response")),
        ("[Found]!", json!([]), Ok(json!([]))),
        ("Found", json!(5), Err(parse)),
        ("[Found]", json!(["x"]), Err(parse)),
        ("Found", json!({}), Err("field \"id\" expected in webhook response, but not found")),
        ("Found", json!({"id": null}), Err("expecting not null value for field \"id\"")),
        (
            "Found",
            json!({"id": 1, "a": 1, "b": 2}),
            Err("unexpected fields in webhook response: a, b"),
        ),
        (
            "Found",
            json!({"id": 1, "inner": {"key": 5, "text": {"x": [1]}}}),
            Ok(json!({"id": 1, "note": null, "inner": {"key": 5, "text": {"x": [1]}}})),
        ),
        (
            "Found",
            json!({"id": 1, "inner": []}),
            Err("expecting object for action webhook response but got array"),
        ),
        (
            "Found",
            json!({"id": 1, "inner": {"nope": 5}}),
            Err("unexpected fields in webhook response: nope"),
        ),
        (
            "[[Found!]!]",
            json!([[{"id": 1}], []]),
            Ok(json!([[{"id": 1, "note": null, "inner": null}], []])),
        ),
    ];
    for (index, (output, body, expected)) in cases.iter().enumerate() {
        let name = format!("shape_{index}");
        project.scripted(&name, output, json!({"body": body})).await;
        let query = format!("mutation {{ {name} {{ id note inner {{ key text }} }} }}");
        let answer = project.admin(&query).await;
        match expected {
            Ok(value) => assert_eq!(answer["data"][&name], *value, "{output} {body}: {answer}"),
            Err(message) => {
                assert_eq!(error_of(&answer).0, *message, "{output} {body}");
                let internal = &answer["errors"][0]["extensions"]["internal"];
                assert_eq!(internal["response"]["body"], *body);
            }
        }
    }
    let scalars: &[(&str, Value, Result<(), &str>)] = &[
        ("Int", json!(5), Ok(())),
        ("Int!", json!(null), Err("got null")),
        (
            "Int",
            json!("5"),
            Err("got scalar String for the action webhook response, expecting Int"),
        ),
        (
            "String",
            json!(true),
            Err("got scalar Boolean for the action webhook response, expecting String"),
        ),
        (
            "Boolean",
            json!({}),
            Err("got object for the action webhook response, expecting Boolean"),
        ),
        ("ID", json!([]), Err("got array for the action webhook response, expecting ID")),
        ("[Int!]", json!([1, 2]), Ok(())),
        ("[Int!]", json!(1), Err("expecting array for the action webhook response")),
        ("anything", json!({"a": [null, 1.5]}), Ok(())),
        ("Colour", json!("RED"), Ok(())),
    ];
    for (index, (output, body, expected)) in scalars.iter().enumerate() {
        let name = format!("scalar_{index}");
        project.scripted(&name, output, json!({"body": body})).await;
        let answer = project.admin(&format!("mutation {{ {name} }}")).await;
        match expected {
            Ok(()) => assert_eq!(answer["data"][&name], *body, "{output}: {answer}"),
            Err(message) => assert!(error_of(&answer).0.contains(message), "{output}: {answer}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_a_document_run_in_its_order() {
    let project = Project::new().await;
    project.scripted("ok", "Found", json!({"body": {"id": 1, "note": "n"}})).await;
    project.scripted("fails", "Found", json!({"status": 400, "body": {"message": "no"}})).await;
    let says = project.handlers.says(&json!({"body": {"id": 2}}));
    project.action("look", json!([]), "Found", &says, json!({"type": "query"})).await;
    let insert = |id: u32| {
        format!(
            "i{id}: insert_note_one(object: {{id: {id}, tenant: \"acme\", account_id: 1, body: \"x\"}}) {{ id }}"
        )
    };
    let query = format!(
        "mutation {{ a: ok {{ id }} {} b: ok {{ note }} {} __typename }}",
        insert(100),
        insert(101)
    );
    let body = json!({"query": query, "extensions": {"transaction": true}});
    let answer = project.send("/v1/graphql", &[], &body).await.text().await.expect("a text");
    let data = r#"{"data":{"a":{"id":1},"i100":{"id":100},"b":{"note":"n"},"i101":{"id":101},"__typename":"mutation_root"}"#;
    assert!(answer.starts_with(data) && answer.contains("\"transaction\""), "{answer}");
    assert_eq!(project.handlers.take().len(), 2);

    // What came before a failure stays, what comes after does not happen.
    let query =
        format!("mutation {{ {} fails {{ id }} {} ok {{ id }} }}", insert(102), insert(103));
    assert_eq!(error_of(&project.admin(&query).await).0, "no");
    assert_eq!(project.handlers.take().len(), 1);
    let query = format!("mutation {{ {} {} ok {{ id }} }}", insert(104), insert(1));
    assert_eq!(error_of(&project.admin(&query).await).1, "constraint-violation");
    assert_eq!(project.handlers.take().len(), 0);
    let answer =
        project.admin("{ note(where: {id: {_gte: 100}}, order_by: {id: asc}) { id } }").await;
    assert_eq!(answer["data"]["note"], json!([{"id": 100}, {"id": 101}, {"id": 102}]));

    let query = "query ($n: Int) { first: look { id } note(limit: $n, order_by: {id: asc}) { id } again: look { id } __schema { queryType { name } } __typename }";
    let answer = project.ask(&[], query, json!({"n": 1})).await;
    let expected = json!({"data": {"first": {"id": 2}, "note": [{"id": 1}], "again": {"id": 2},
        "__schema": {"queryType": {"name": "query_root"}}, "__typename": "query_root"}});
    assert_eq!(answer, expected);
    let keys: Vec<&String> = answer["data"].as_object().expect("data").keys().collect();
    assert_eq!(keys, ["first", "note", "again", "__schema", "__typename"]);
    project.handlers.take();
    // A mistake in a later part is found before any handler is called.
    let answer = project.ask(&[], query, json!({"n": -1})).await;
    assert!(error_of(&answer).0.contains("non-negative"), "{answer}");
    assert_eq!(project.handlers.take().len(), 0);
}
