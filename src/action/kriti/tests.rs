use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Scope, Template};
use crate::session::SessionVars;

fn body() -> Value {
    json!({
        "name": "Freddie Jones", "age": 27, "none": null, "my key": "v",
        "tags": ["a", "b"],
        "articles": [
            {"id": 0, "title": "The Elements", "published": true},
            {"id": 2, "title": "Mars", "published": false},
        ],
    })
}

fn with_template(template: Result<Template, super::KritiError>) -> Result<Value, String> {
    let vars = SessionVars::from([("x-hasura-user-id".to_owned(), "7".to_owned())]);
    let scope = Scope { values: vec![("$body", Cow::Owned(body()))], session: Some(&vars) };
    let shown = |error: super::KritiError| format!("{:?}: {}", error.code, error.message);
    template.map_err(shown)?.eval(&scope).map_err(shown)
}

fn run(source: &str) -> Result<Value, String> {
    with_template(Template::parse(source))
}

fn gives(source: &str, value: Value) {
    assert_eq!(run(source), Ok(value), "{source}");
}

fn fails(source: &str, message: &str) {
    let error = run(source).expect_err(source);
    assert!(error.contains(message), "{source}: {error}");
}

#[test]
fn json_is_a_template_of_itself() {
    for value in [body(), json!([]), json!({}), json!(-1.5e3), json!("a\"\\\n\u{1F600}")] {
        gives(&value.to_string(), value);
    }
    gives(r#""\ud83d\ude00\t""#, json!("\u{1F600}\t"));
}

#[test]
fn paths_lead_into_values() {
    gives("{{ $body.name }}", json!("Freddie Jones"));
    gives("{{$body.articles[1].title}}", json!("Mars"));
    gives("{{ $body['my key'] }}", json!("v"));
    gives("{{ $body[\"my key\"] }}", json!("v"));
    gives("{{ $body['{{ $body.tags[0] }}ge'] }}", json!(27));
    gives("{{ $body.tags[ $body.articles[0].id ] }}", json!("a"));
    gives("{\"a\": {\"b\": {{$body.age}}}}", json!({"a": {"b": 27}}));
    fails("{{ $body.nope }}", "Path: \"$body.nope\"");
    fails("{{ $body.tags[2] }}", "Path: \"$body.tags[2]\"");
    fails("{{ $body.tags[-1] }}", "Path");
    fails("{{ $other }}", "Path: \"$other\"");
    fails("{{ $body.age.x }}", "Couldn't match 'Number' with 'Object'.");
    fails("{{ $body.tags.x }}", "Couldn't match 'String' with 'Number'.");
}

#[test]
fn optional_steps_give_null() {
    gives("{{ $body?.nope }}", json!(null));
    gives("{{ $body?.nope.deeper[3] }}", json!(null));
    gives("{{ $body.none?.x }}", json!(null));
    gives("{{ $body?['my key'] }}", json!("v"));
    gives("{{ $body.tags?[7] }}", json!(null));
    gives("{{ $body?.nope ?? \"d\" }}", json!("d"));
    gives("{{ $body.age ?? 1 }}", json!(27));
}

#[test]
fn texts_take_values_in() {
    gives(r#""{{$body.name}} is {{ $body.age }}""#, json!("Freddie Jones is 27"));
    gives(r#""{ {{$body.none}} {{ $body.tags }}""#, json!("{ null [\"a\",\"b\"]"));
    gives(r#""{{ concat(["a", "b"]) }}""#, json!("ab"));
    let text = Template::parse_text(r#"/a/{{ escapeUri($body.name) }}?q="x""#);
    assert_eq!(with_template(text), Ok(json!("/a/Freddie%20Jones?q=\"x\"")));
}

#[test]
fn choices_need_booleans() {
    let source = r#"{{ if $body.age > 30 }} "old" {{ elif $body.age > 20 }} "grown" {{ else }} "young" {{ end }}"#;
    gives(source, json!("grown"));
    gives("{{ if not true }} 1 {{ else }} {\"a\": 2} {{ end }}", json!({"a": 2}));
    fails("{{ if $body.age }} 1 {{ else }} 2 {{ end }}", "'27' is not a Boolean.");
    fails("{{ if true }} 1 {{ end }}", "needs an else");
    fails("{{ true && 1 }}", "Couldn't match 'Number' with 'Boolean'.");
}

#[test]
fn loops_make_arrays() {
    let source =
        "{{ range i, x := $body.articles }} { \"n\": {{i}}, \"t\": {{ x.title }} } {{ end }}";
    gives(source, json!([{"n": 0, "t": "The Elements"}, {"n": 1, "t": "Mars"}]));
    let nested = "{{ range _, x := $body.tags }}{{ range _, y := $body.tags }} \"{{x}}{{y}}\" {{ end }}{{ end }}";
    gives(nested, json!([["aa", "ab"], ["ba", "bb"]]));
    fails("{{ range _, x := $body.age }} 1 {{ end }}", "Couldn't match 'Number' with 'Array'.");
    fails("{{ range _, x := $body.tags }} {{ y }} {{ end }}", "\"y\"");
}

#[test]
fn operators_bind_as_one_expects() {
    gives("{{ 1 == 1 && 2 < 3 || false }}", json!(true));
    gives("{{ false || true && false }}", json!(false));
    gives("{{ $body?.x ?? 1 == 1 }}", json!(true));
    gives("{{ \"a\" in $body.tags }}", json!(true));
    gives("{{ \"name\" in $body && not(\"x\" in $body) }}", json!(true));
    gives("{{ 1 in [1.5, 2] }}", json!(false));
    gives("{{ (1 > 2) == false }}", json!(true));
    gives("{{ [1, 2] < [1, 3] }}", json!(true));
    gives("{{ {\"a\": 1, \"b\": 2} == {\"b\": 2, \"a\": 1} }}", json!(true));
    gives("{{ 9007199254740993 == 9007199254740992 }}", json!(false));
}

#[test]
fn functions_work_on_their_kinds() {
    gives("{{ escapeUri \"a b/ü\" }}", json!("a%20b%2F%C3%BC"));
    gives("{{ toUpper toLower $body.name }}", json!("FREDDIE JONES"));
    gives("{{ toTitle(\"don't STOP me\") }}", json!("Don't Stop Me"));
    gives("{{ size($body.tags) }}", json!(2));
    gives("{{ empty(\"  \") }}", json!(true));
    gives("{{ head $body.tags }}", json!("a"));
    gives("{{ tail(\"abc\") }}", json!("bc"));
    gives("{{ inverse [1, 2] }}", json!([2, 1]));
    gives("{{ fromPairs(toPairs({\"a\": 1})) }}", json!({"a": 1}));
    gives("{{ removeNulls([1, null, 2]) }}", json!([1, 2]));
    gives("{{ concat [[1], [2, 3]] }}", json!([1, 2, 3]));
    gives("{{ concat [{\"a\": 1}, {\"a\": 2}] }}", json!({"a": 2}));
    gives("{{ getSessionVariable(\"X-Hasura-User-Id\") }}", json!("7"));
    fails("{{ getSessionVariable(\"x-hasura-x\") }}", "Session variable \"x-hasura-x\" not found");
    fails("{{ nope(1) }}", "Function nope is not defined.");
    fails("{{ head([]) }}", "Empty array");
    fails("{{ inverse(0) }}", "no inverse");
    fails("{{ concat([1, \"a\"]) }}", "encountered Number");
    fails("{{ empty(true) }}", "boolean");
}

#[test]
fn mistakes_say_where_they_are() {
    let source = "{\n  \"a\": {{ $body.nope }}\n}";
    let template = Template::parse(source).expect("a template");
    let scope = Scope { values: vec![("$body", Cow::Owned(json!({})))], session: None };
    let error = template.eval(&scope).expect_err("no such field");
    let position = json!({"start_line": 1, "start_column": 15, "end_line": 1, "end_column": 20});
    assert_eq!(error.as_json(template.source())["source_position"], position);
    for source in
        ["", "{{ $body", "{\"a\" 1}", "[1,]", "\"a", "{{ }}", "1 2", "{{ a. }}", "01", "{{ a ?? }}"]
    {
        let error = Template::parse(source).expect_err(source);
        assert_eq!(error.as_json(source)["error_code"], json!("Parse Error"), "{source}");
    }
}

#[test]
fn depth_and_output_are_bounded() {
    fails(&"[".repeat(10_000), "too deep");
    fails(&"{{".repeat(10_000), "too deep");
    fails(&"(".repeat(10_000), "too deep");
    fails(&"not ".repeat(10_000), "too deep");
    let range = "{{ range _, x := [1,2,3,4,5,6,7,8,9,10] }}".repeat(8);
    fails(&format!("{range} $body {}", "{{ end }}".repeat(8)), "Limit");
    let text = format!("\"{}\"", "{{ $body }}".repeat(100));
    let doubled = "{{ range _, x := [1,2,3,4,5,6,7,8,9,10] }}".repeat(4);
    fails(&format!("{doubled} {text} {}", "{{ end }}".repeat(4)), "too much");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Two braces begin an expression.
        "[^{]*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[^{]*", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Pieces that templates are made of, in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{",
        "}}",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "\"",
        "'",
        ".",
        "?",
        "??",
        ",",
        ":",
        ":=",
        "==",
        "<",
        "&&",
        "||",
        " in ",
        "if ",
        "elif ",
        "else ",
        "end ",
        "range ",
        "_",
        "$body",
        "$body.tags",
        "x",
        "1",
        "-",
        "1e9",
        "true",
        "null",
        "not ",
        "concat",
        "\\",
        "\\u",
        "#",
        "\n",
        "ü",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_value_is_its_own_template(value in any_json()) {
        prop_assert_eq!(run(&value.to_string()), Ok(value));
    }

    #[test]
    fn any_value_passes_through(value in any_json()) {
        let scope = Scope { values: vec![("$v", Cow::Borrowed(&value))], session: None };
        let template = Template::parse("{{ $v }}").expect("a template");
        prop_assert_eq!(template.eval(&scope).ok(), Some(value.clone()));
    }

    #[test]
    fn no_text_breaks_the_parser(source in ".*") {
        if let Err(error) = Template::parse(&source) {
            error.as_json(&source);
        }
        drop(Template::parse_text(&source));
    }

    #[test]
    fn no_template_breaks_evaluation(source in soup()) {
        drop(run(&source));
        drop(with_template(Template::parse_text(&source)));
    }
}
