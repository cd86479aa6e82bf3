//! Lists that come as typed columns are the bytes that Postgres' own JSON would
//! have been: every type, its extreme values, and generated ones, whatever the
//! database's settings for dates, numbers and bytes are.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use std::sync::Arc;

use harness::TestDb;
use ringfence::base::ApiError;
use ringfence::catalog;
use ringfence::engine::{Engine, EngineLimits, GraphqlRequest};
use ringfence::pg::{Options, Pg};
use ringfence::schema::{RoleMapping, SchemaOptions, tracked};
use ringfence::session::{Authority, Proof, Session, SessionVars};

const FIXTURE: &str = r#"
create type mood as enum ('sad', 'so "so"', E'back\\slash', 'größer');
create type told as enum ('a', 'b');
create function told_as_json(told) returns json language sql immutable
  as $$ select json_build_object('told', $1::text) $$;
create cast (told as json) with function told_as_json(told);
create domain d_text as text;
create domain d_int as int;
create domain d_exact as numeric(20, 4);
create domain d_moment as timestamptz;
create domain d_docb as jsonb;
create domain d_mood as mood;
create domain d_words as text[];
create type pair as (a int, "b ""c" text, at timestamptz);

create table things (
  id int primary key,
  parent_id int references things,
  flag bool, small int2, plain int4, big int8, single float4, double float8, exact numeric,
  fixed_scale numeric(30, 8), label text, varied varchar(80), padded char(7), named name, one "char",
  key uuid, day date, local timestamp, moment timestamptz, rough timestamptz(0), clock time,
  zoned timetz, span interval, doc json, docb jsonb, raw bytea, feel mood, tell told,
  dt d_text, di d_int, dx d_exact, dm d_moment, dj d_docb, de d_mood, dw d_words,
  composed pair, pairs pair[], ints int[], texts text[], grid int[], feels mood[], moments timestamptz[],
  period int4range, periods tstzrange, net inet, block cidr, mac macaddr, spot point, bits varbit,
  cash money, number oid, words tsvector, tree xml, xact xid8
);
create index on things (parent_id);
alter table things enable row level security;
create policy everything on things to app_user using (true);

create view failing with (security_invoker = true) as
  select n as id, 'row ' || n as label, 7 / (1500 - n) as quotient from generate_series(1, 2000) n;

grant usage on schema public to app_user;
grant select on things, failing to app_user;
"#;

/// Values worth trying, by column, as Postgres reads them.
const EXTREMES: &[(&str, &[&str])] = &[
    ("flag", &["true", "false"]),
    ("small", &["-32768", "32767", "0", "-1", "10"]),
    ("plain", &["-2147483648", "2147483647", "0", "-10", "1000000"]),
    ("big", &["-9223372036854775808", "9223372036854775807", "0", "-1", "1000000000000"]),
    (
        "single",
        &[
            "0",
            "-0",
            "1e20",
            "1e-20",
            "3.4028235e38",
            "1.1754944e-38",
            "NaN",
            "Infinity",
            "-Infinity",
            "0.1",
            "16777217",
        ],
    ),
    (
        "double",
        &[
            "0",
            "-0",
            "1e15",
            "1e16",
            "123456789012345678",
            "1e-4",
            "1e-5",
            "5e-324",
            "1.7976931348623157e308",
            "NaN",
            "Infinity",
            "-Infinity",
            "0.1",
        ],
    ),
    (
        "exact",
        &[
            "0",
            "0.0",
            "0.000000",
            "-0.00",
            "1",
            "-1",
            "10",
            "9999",
            "10000",
            "100000000",
            "10001",
            "0.1",
            "0.0001",
            "0.00001",
            "0.000010000",
            "1.50",
            "-123456.789",
            "12345678901234567890.12345678901234567890",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e100",
            "1e-100",
            "1e131071",
            "99999999999999999999.9999",
            "0.10000000000000000000",
            "1000000000000.000000000001",
            "-0.00000000000000000001",
            "20000.0002",
        ],
    ),
    ("fixed_scale", &["0", "1", "-1.5", "1234567890123456789012.12345678", "0.00000001", "NaN"]),
    (
        "label",
        &[
            "",
            " ",
            "plain",
            "quote \" backslash \\ slash / ",
            "\u{1}\u{2}\u{1f}\u{7f}\u{80}\u{9f}",
            "tab\tnew\nline\rback\u{8}form\u{c}",
            "größe 日本 😀 \u{feff}\u{2028}\u{2029}\u{fffd}\u{10ffff}",
            "null",
            "\"",
            "\\",
            "\\u0000",
            "'; drop table things; --",
            "</script>",
        ],
    ),
    ("varied", &["", "x", "\"\\\n\u{1b}é"]),
    ("padded", &["", "a", "seven77", "\"\\"]),
    ("named", &["", "a_name", "with \"quotes\""]),
    ("one", &["", "a", "\"", "\\"]),
    (
        "key",
        &[
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "0123abcd-4567-89ef-fedc-ba9876543210",
        ],
    ),
    (
        "day",
        &[
            "2000-01-01",
            "1999-12-31",
            "1970-01-01",
            "0001-01-01",
            "0001-12-31 BC",
            "0001-01-01 BC",
            "0005-02-29 BC",
            "4713-11-24 BC",
            "4713-12-31 BC",
            "5874897-12-31",
            "9999-12-31",
            "10000-01-01",
            "2024-02-29",
            "1900-02-28",
            "1900-03-01",
            "2400-02-29",
            "infinity",
            "-infinity",
        ],
    ),
    (
        "local",
        &[
            "2000-01-01",
            "1999-12-31 23:59:59.999999",
            "1970-01-01 00:00:00.000001",
            "0001-01-01 00:00:00",
            "0001-12-31 23:59:59.5 BC",
            "4713-11-24 00:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "10000-01-01 01:02:03.4",
            "2024-02-29 12:34:56.100",
            "2024-02-29 24:00:00",
            "infinity",
            "-infinity",
        ],
    ),
    (
        "moment",
        &[
            "2000-01-01Z",
            "1999-12-31 23:59:59.999999Z",
            "1900-01-01 00:00:00Z",
            "0001-12-31 23:59:59.5Z BC",
            "4713-11-25 00:00:00Z BC",
            "294276-12-30 23:59:59.999999Z",
            "10000-01-01 01:02:03.4+05",
            "2024-07-01 12:00:00Z",
            "2024-12-01 12:00:00Z",
            "infinity",
            "-infinity",
        ],
    ),
    ("rough", &["2024-07-01 12:00:00.6Z", "1880-01-01 00:00:00Z"]),
    ("clock", &["00:00:00", "23:59:59.999999", "24:00:00"]),
    ("zoned", &["00:00:00+15:59", "23:59:59.999999-15:59:59"]),
    (
        "span",
        &["0", "1 year -2 months 3 days -04:05:06.789", "-178000000 years", "00:00:00.000001"],
    ),
    (
        "doc",
        &[
            "null",
            " { \"b\" : 1,\n \"a\" : [ 1, 2 ],\t\"b\" : 2 } ",
            "\"\\u00e9 \\n\"",
            "1.50",
            "[]",
            "1e400",
        ],
    ),
    (
        "docb",
        &[
            "null",
            " { \"b\" : 1,\n \"a\" : [ 1, 2.50 ] } ",
            "\"\\u00e9 \\n\\u0001\"",
            "1.50",
            "[]",
            "1e400",
        ],
    ),
    ("raw", &["", "\\x00ff22", "\\xdeadbeef5c"]),
    ("feel", &["sad", "so \"so\"", "back\\slash", "größer"]),
    ("tell", &["a", "b"]),
    ("dt", &["", "\"\n"]),
    ("di", &["-1", "7"]),
    ("dx", &["0", "-1.5", "NaN"]),
    ("dm", &["2024-07-01 12:00:00Z", "infinity"]),
    ("dj", &["{\"a\": 1.0}", "null"]),
    ("de", &["sad", "größer"]),
    ("dw", &["{}", "{a,NULL,\"b c\"}"]),
    ("composed", &["(,,)", "(1,\"x \"\" y\",2024-07-01 12:00:00Z)"]),
    ("pairs", &["{}", "{\"(1,a,)\",NULL}"]),
    ("ints", &["{}", "{1,NULL,-3}", "[5:6]={1,2}"]),
    ("texts", &["{}", "{\"\",NULL,\"NULL\",\"a \\\"b\\\" \\\\ c\"}"]),
    ("grid", &["{{1,2},{3,NULL}}", "{{{1}},{{2}}}"]),
    ("feels", &["{sad,NULL}"]),
    ("moments", &["{2024-07-01 12:00:00Z,NULL,infinity}"]),
    ("period", &["empty", "[1,5)", "(,)"]),
    ("periods", &["[2024-07-01 12:00:00Z,infinity)"]),
    ("net", &["10.0.0.1", "::1/64"]),
    ("block", &["10.0.0.0/8"]),
    ("mac", &["08:00:2b:01:02:03"]),
    ("spot", &["(1.5,-2e30)"]),
    ("bits", &["", "1010"]),
    ("cash", &["-12.34", "92233720368547758.07"]),
    ("number", &["0", "4294967295"]),
    ("words", &["fat:1A cat:2 'it''s'"]),
    ("tree", &["<a b=\"c\">\n</a>", ""]),
    ("xact", &["18446744073709551615"]),
];

/// Settings of a database that change how values are written as text.
const SETTINGS: &[&[(&str, &str)]] = &[
    &[],
    &[
        ("TimeZone", "Asia/Kolkata"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "iso_8601"),
        ("bytea_output", "escape"),
        ("extra_float_digits", "0"),
    ],
    // Had an offset with seconds until 1972.
    &[("TimeZone", "Africa/Monrovia"), ("DateStyle", "German"), ("extra_float_digits", "-15")],
    &[
        ("TimeZone", "America/New_York"),
        ("IntervalStyle", "sql_standard"),
        ("extra_float_digits", "3"),
    ],
    &[("TimeZone", "Pacific/Kiritimati"), ("DateStyle", "Postgres, MDY")],
];

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Rows of extreme values, then generated ones.
fn rows() -> String {
    let longest = EXTREMES.iter().map(|(_, values)| values.len()).max().unwrap();
    let columns: Vec<&str> = EXTREMES.iter().map(|(column, _)| *column).collect();
    let mut sql = format!("insert into things (id, parent_id, {}) values\n", columns.join(", "));
    // One row of nothing at the end.
    for n in 0..=longest {
        let values: Vec<String> = EXTREMES
            .iter()
            .map(|(_, values)| match values.get(n) {
                Some(value) => literal(value),
                // Values again beside other ones, and nulls.
                None if n < longest && n % 2 == 0 => literal(values[n % values.len()]),
                None => "null".to_owned(),
            })
            .collect();
        let parent = if n == 0 { "null".to_owned() } else { (n / 4).to_string() };
        let lead = if n == 0 { "" } else { ",\n" };
        sql.push_str(&format!("{lead}({n}, {parent}, {})", values.join(", ")));
    }
    sql.push_str(
        ";\nselect setseed(0.25);
        insert into things (id, parent_id, flag, small, plain, big, exact, label, key, day, local, moment, double)
        select n, n % 20, random() < 0.5, (random() * 65535 - 32768)::int2, (random() * 4294967295 - 2147483648)::int4,
          ((random() - 0.5) * 18446744073709551615::numeric)::int8,
          round(((random() - 0.5) * power(10::numeric, (random() * 60 - 30)::int) * 1.23456789012345678901234567890)::numeric, (random() * 40)::int),
          (select string_agg(chr((1 + random() * case when random() < 0.5 then 126 else 50000 end)::int), '')
             from generate_series(1, (random() * 20)::int + n - n)),
          md5(n::text)::uuid, date '2000-01-01' + ((random() - 0.001) * case when random() < 0.5 then 1000000 else 2140000000 end)::int4,
          timestamp '2000-01-01' + (random() - 0.02) * 90000000 * interval '1 day',
          timestamptz '2000-01-01Z' + (random() - 0.02) * 90000000 * interval '1 day',
          exp(random() * 1400 - 700)
        from generate_series(1000, 1999) n;",
    );
    sql
}

struct Both {
    typed: Engine,
    whole: Engine,
    session: Session,
}

impl Both {
    async fn new(db: &TestDb, stringify: bool) -> Self {
        Both {
            typed: engine(db, false, stringify).await,
            whole: engine(db, true, stringify).await,
            session: Session {
                role: "user".into(),
                authority: Authority::Request,
                proof: Proof::Token,
                backend: false,
                vars: SessionVars::new(),
                tenant: None,
                user: Some(Arc::from("1")),
                claims: None,
                expires_at: None,
                revoked: None,
            },
        }
    }

    /// Asks both, three times: planned, from the plan cache, as a prepared
    /// statement. The answers must be the same bytes.
    async fn ask(&self, query: &str) -> Result<String, ApiError> {
        let mut last = None;
        for _ in 0..3 {
            let typed = answer(&self.typed, &self.session, query).await;
            let whole = answer(&self.whole, &self.session, query).await;
            match (&typed, &whole) {
                (Ok(typed), Ok(whole)) if typed == whole => {}
                (Err(typed), Err(whole))
                    if typed.code == whole.code && typed.message == whole.message => {}
                (Ok(typed), Ok(whole)) => {
                    let at = typed.bytes().zip(whole.bytes()).take_while(|(a, b)| a == b).count();
                    let near = |text: &str| {
                        let end = text.len().min(at + 60);
                        String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(60)..end])
                            .into_owned()
                    };
                    panic!(
                        "{query}\n--- typed at {at}\n{}\n--- whole\n{}",
                        near(typed),
                        near(whole)
                    );
                }
                _ => panic!("{query}\n--- typed\n{typed:?}\n--- whole\n{whole:?}"),
            }
            last = Some(typed);
        }
        last.unwrap()
    }
}

async fn engine(db: &TestDb, json_by_postgres: bool, stringify_numbers: bool) -> Engine {
    let mut options = Options::new(db.authenticator_url().parse().expect("a URL"));
    options.owner = Some(db.owner_url().parse().expect("a URL"));
    options.pool_size = 1;
    let pg = Pg::new(options).expect("pools");
    let config = db.config(&[]);
    let tx = pg.begin_system("load the catalogue").await.expect("connects");
    let catalog = catalog::load::load(&tx, &config.schema).await.expect("loads");
    tx.commit().await.expect("commits");
    let options = SchemaOptions {
        roles: RoleMapping {
            map: [("user".to_owned(), "app_user".to_owned())].into(),
            automap: false,
            authenticator: harness::AUTHENTICATOR.to_owned(),
            allow_unsafe: false,
        },
        json_by_postgres,
        stringify_numbers,
        ..SchemaOptions::default()
    };
    let limits = EngineLimits {
        depth: 20,
        nodes: 5_000,
        rows: None,
        insert_rows: 10_000,
        plan_cache_bytes: 8 * 1024 * 1024,
    };
    let tracked =
        tracked::without_metadata(Arc::new(catalog), &["public".to_owned()]).expect("names");
    Engine::new(pg, tracked, options, limits)
}

async fn answer(engine: &Engine, session: &Session, query: &str) -> Result<String, ApiError> {
    let request = GraphqlRequest { query: query.to_owned(), ..GraphqlRequest::default() };
    let mut response = engine.execute(session, request).await;
    match response.data {
        Some(data) => Ok(String::from_utf8(data.to_vec()).expect("UTF-8")),
        None => Err(response.errors.remove(0)),
    }
}

fn fields() -> String {
    let columns: Vec<&str> = EXTREMES.iter().map(|(column, _)| *column).collect();
    format!("id parent_id {}", columns.join(" "))
}

async fn filled() -> TestDb {
    let db = TestDb::new(FIXTURE).await;
    db.psql(&rows()).expect("the rows go in");
    db
}

#[tokio::test]
async fn every_type_and_value_is_the_same_under_all_settings() {
    let db = filled().await;
    let fields = fields();
    for settings in SETTINGS {
        let client = db.client().await;
        for (name, value) in *settings {
            let set = format!(
                "do $$ begin execute format('alter database %I set {name} to %L', current_database(), {}); end $$",
                literal(value)
            );
            client.batch_execute(&set).await.expect("sets");
        }
        for stringify in [false, true] {
            let both = Both::new(&db, stringify).await;
            let all = both
                .ask(&format!("{{ things(order_by: {{id: asc}}) {{ {fields} }} }}"))
                .await
                .expect("answers");
            assert!(all.matches("\"id\"").count() > 1000, "the rows are there");
            // The same beside and below each other.
            let nested = format!(
                "{{ all: things(order_by: {{id: desc}}, limit: 60) {{ __typename i: id
                    above: parent {{ {fields} __typename }}
                    below: things(order_by: {{id: asc}}, limit: 20) {{ {fields} }} }} }}"
            );
            both.ask(&nested).await.expect("answers");
        }
    }
}

#[tokio::test]
async fn shapes_of_lists_are_the_same() {
    let db = filled().await;
    let both = Both::new(&db, false).await;
    let long = "k".repeat(100);
    for query in [
        "{ things { __typename } }".to_owned(),
        "{ things { a: __typename id b: __typename } }".to_owned(),
        "{ things(where: {id: {_lt: 0}}) { id } }".to_owned(),
        "{ things(limit: 0) { id things { id } } }".to_owned(),
        "{ things(limit: 3, order_by: {id: desc}, offset: 2) { id } }".to_owned(),
        "{ things(distinct_on: parent_id, order_by: [{parent_id: asc}, {id: asc}]) { parent_id } }".to_owned(),
        "{ things(distinct_on: parent_id, order_by: [{parent_id: asc}, {id: asc}]) { __typename } }".to_owned(),
        format!("{{ things(order_by: {{id: asc}}) {{ {long}: id c0: label things(limit: 1) {{ {long}: id }} }} }}"),
        "{ things(order_by: {id: asc}) { id parent { __typename } things { __typename } } }".to_owned(),
        // Short lists are records, long ones JSON, also in each other.
        "{ things(order_by: {id: asc}) { id things(limit: 600, order_by: {id: asc}) { id moment label } } }".to_owned(),
        "{ things(order_by: {id: asc}) { id things(limit: 700, order_by: {id: asc}) { id moment label } } }".to_owned(),
        "{ things(order_by: {id: asc}) { id things(limit: 5) { id things { id moment } } } }".to_owned(),
        "{ things(order_by: {id: asc}) { id things { id things(limit: 5) { id moment } } } }".to_owned(),
        "{ things(order_by: {id: asc}) { id parent { id parent { id parent { label } } } } }".to_owned(),
        "{ things(order_by: {id: asc}) { things_aggregate { aggregate { count max { label moment } } nodes { id exact } } } }".to_owned(),
        "{ things(order_by: {id: asc}) { id doc(path: \"a\") docb(path: \"$.a[1]\") dj(path: \"a\") } }".to_owned(),
        "{ things(order_by: {things_aggregate: {count: desc}, id: asc}, where: {things: {id: {_gt: 10}}}) { id } }".to_owned(),
        // More than one root, and one beside the schema.
        "{ a: things(limit: 1) { id moment } b: things(limit: 1) { id } }".to_owned(),
        "{ things(order_by: {id: asc}, limit: 1) { id } __typename }".to_owned(),
        "{ __schema { queryType { name } } things(order_by: {id: asc}, limit: 1) { id moment } }".to_owned(),
    ] {
        both.ask(&query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    }
}

#[tokio::test]
async fn an_error_among_the_rows_is_an_error_and_no_torn_answer() {
    let db = filled().await;
    let both = Both::new(&db, false).await;
    let failing = "{ failing { id label quotient } }";
    let error = both.ask(failing).await.expect_err("row 1500 divides by zero");
    assert_eq!(error.message, "a value has the wrong form or is out of range");
    let before = "{ failing(where: {id: {_lt: 1500}}) { id label quotient } }";
    let answer = both.ask(before).await.expect("the connection is good again");
    assert_eq!(answer.matches("\"id\"").count(), 1499);
}
