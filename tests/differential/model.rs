//! The fixture as a caller should see it, written down by hand.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::harness::PsqlSession;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Int,
    /// With up to six decimals.
    Decimal,
    Text,
    Label,
    /// Ordered as its text is: a date, a time or a uuid.
    Plain,
    Bool,
    /// jsonb
    Json,
    /// int[]
    Ints,
    /// Selected, never compared.
    Opaque,
}

impl Kind {
    /// Whether an aggregate function takes it.
    pub fn takes(self, function: &str) -> bool {
        match function {
            "max" | "min" => !matches!(self, Kind::Bool | Kind::Json | Kind::Ints | Kind::Opaque),
            _ => matches!(self, Kind::Int | Kind::Decimal),
        }
    }
}

/// Aggregates of which psql says what they are of some values.
pub const STATISTICS: [&str; 7] =
    ["avg", "stddev", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance"];

/// psql, and what it said before.
pub struct Statistics {
    psql: PsqlSession,
    known: HashMap<String, String>,
}

impl Statistics {
    pub fn new(psql: PsqlSession) -> Self {
        Statistics { psql, known: HashMap::new() }
    }

    /// An aggregate of values of a column as JSON, every digit of it.
    pub fn of(&mut self, function: &str, column: &Column, values: &[&str]) -> String {
        let ty = match column.scalar {
            "Int" => "int4",
            "smallint" => "int2",
            "bigint" => "int8",
            other => other,
        };
        let values: Vec<String> =
            values.iter().map(|value| format!("'{}'", value.trim_matches('"'))).collect();
        let sql = format!(
            "select coalesce(to_json({function}(v))::text, 'null') from unnest(array[{}]::{ty}[]) v",
            values.join(", ")
        );
        self.known.entry(sql).or_insert_with_key(|sql| self.psql.line(sql)).clone()
    }
}

pub const LABELS: [&str; 3] = ["todo", "doing", "done"];

#[derive(Debug, Clone)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    /// Its GraphQL type.
    pub scalar: &'static str,
    /// JSON texts of values that some row has.
    pub known: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Relation {
    pub name: &'static str,
    pub many: bool,
    pub target: &'static str,
    /// (here, there)
    pub on: Vec<(&'static str, &'static str)>,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: &'static str,
    pub columns: Vec<Column>,
    /// Columns that tell the rows apart.
    pub key: Vec<&'static str>,
    pub by_pk: bool,
    pub relations: Vec<Relation>,
}

pub type Model = BTreeMap<&'static str, Table>;

/// What values are ordered by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Number(i128),
    Text(String),
}

/// A value: the JSON text, and its key unless it is null.
#[derive(Debug, Clone)]
pub struct Cell {
    pub json: String,
    pub key: Option<Key>,
}

pub type Row = HashMap<String, Cell>;

pub fn key(kind: Kind, json: &str) -> Option<Key> {
    if json == "null" {
        return None;
    }
    let text = || match json.strip_prefix('"') {
        Some(_) => serde_json::from_str::<String>(json).expect("a string"),
        None => json.to_owned(),
    };
    Some(match kind {
        Kind::Int => Key::Number(text().parse().expect("an integer")),
        Kind::Decimal => Key::Number(decimal(&text())),
        Kind::Bool => Key::Number(i128::from(json == "true")),
        Kind::Label => {
            let label = text();
            let rank = LABELS.iter().position(|known| *known == label).expect("a label");
            Key::Number(i128::try_from(rank).expect("small"))
        }
        // The text of jsonb is canonical.
        Kind::Json | Kind::Ints => Key::Text(json.to_owned()),
        Kind::Text | Kind::Plain | Kind::Opaque => Key::Text(text()),
    })
}

/// A decimal as Postgres writes one of six digits.
pub fn decimal_text(scaled: i128) -> String {
    let sign = if scaled < 0 { "-" } else { "" };
    let digits = scaled.unsigned_abs();
    format!("{sign}{}.{:06}", digits / 1_000_000, digits % 1_000_000)
}

fn decimal(text: &str) -> i128 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scaled: i128 = format!("{whole}{fraction:0<6}").parse().expect("a decimal");
    if negative { -scaled } else { scaled }
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.name == name)
    }

    /// Each row as one line of JSON.
    pub fn query(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        format!(
            "select row_to_json(x) from (select {} from \"{}\") x",
            columns.join(", "),
            self.name
        )
    }

    pub fn row(&self, line: &str) -> Row {
        let cells: HashMap<String, Box<RawValue>> = serde_json::from_str(line).expect("JSON");
        cells
            .into_iter()
            .map(|(name, raw)| {
                let kind = self.column(&name).expect("a column").kind;
                let cell = Cell { json: raw.get().to_owned(), key: key(kind, raw.get()) };
                (name, cell)
            })
            .collect()
    }

    pub fn learn(&mut self, rows: &[Row]) {
        for column in &mut self.columns {
            let values = rows.iter().map(|row| &row[column.name]);
            column.known =
                values.filter(|c| c.key.is_some()).map(|cell| cell.json.clone()).collect();
            column.known.sort();
            column.known.dedup();
        }
    }
}

fn table(
    name: &'static str,
    key: &[&'static str],
    columns: &[(&'static str, Kind, &'static str)],
) -> Table {
    Table {
        name,
        columns: columns
            .iter()
            .map(|(name, kind, scalar)| Column { name, kind: *kind, scalar, known: Vec::new() })
            .collect(),
        key: key.to_vec(),
        by_pk: true,
        relations: Vec::new(),
    }
}

/// The tables of the role `user`, or of the narrow role `editor`.
pub fn model(narrow: bool) -> Model {
    use Kind::{Bool, Decimal, Int, Ints, Json, Label, Opaque, Plain, Text};
    let tenant = ("tenant_id", Plain, "uuid");
    let mut tables = if narrow {
        let mut tasks = table(
            "tasks",
            &["title"],
            &[
                ("title", Text, "String"),
                ("status", Label, "task_status"),
                ("owner_id", Int, "Int"),
            ],
        );
        tasks.by_pk = false;
        vec![tasks, table("users", &["id"], &[("id", Int, "Int"), ("name", Text, "String")])]
    } else {
        let mut open = table(
            "open_tasks",
            &["id"],
            &[("id", Int, "Int"), ("title", Text, "String"), ("owner_id", Int, "Int")],
        );
        open.by_pk = false;
        vec![
            table("tenants", &["id"], &[("id", Plain, "uuid"), ("name", Text, "String")]),
            table(
                "users",
                &["id"],
                &[("id", Int, "Int"), tenant, ("name", Text, "String"), ("manager_id", Int, "Int")],
            ),
            table(
                "profiles",
                &["user_id"],
                &[("user_id", Int, "Int"), tenant, ("bio", Text, "String")],
            ),
            table(
                "tasks",
                &["id"],
                &[
                    ("id", Int, "Int"),
                    tenant,
                    ("owner_id", Int, "Int"),
                    ("reviewer_id", Int, "Int"),
                    ("title", Text, "String"),
                    ("status", Label, "task_status"),
                    ("points", Int, "Int"),
                    ("estimate", Decimal, "numeric"),
                    ("due_on", Plain, "date"),
                    ("created_at", Plain, "timestamptz"),
                ],
            ),
            table(
                "comments",
                &["task_id", "n"],
                &[
                    ("task_id", Int, "Int"),
                    ("n", Int, "Int"),
                    tenant,
                    ("author_id", Int, "Int"),
                    ("body", Text, "String"),
                ],
            ),
            table(
                "kinds",
                &["id"],
                &[
                    ("id", Int, "Int"),
                    tenant,
                    ("small", Int, "smallint"),
                    ("big", Int, "bigint"),
                    ("flag", Bool, "Boolean"),
                    ("label", Text, "String"),
                    ("state", Label, "task_status"),
                    ("count", Int, "Int"),
                    ("key", Plain, "uuid"),
                    ("exact", Opaque, "numeric"),
                    ("single", Opaque, "Float"),
                    ("double", Opaque, "float8"),
                    ("raw", Opaque, "bytea"),
                    ("span", Opaque, "interval"),
                    ("doc", Opaque, "json"),
                    ("docb", Json, "jsonb"),
                    ("numbers", Ints, "_int4"),
                    ("place", Opaque, "address"),
                    ("period", Opaque, "int4range"),
                    ("net", Opaque, "inet"),
                ],
            ),
            table("Select", &["order"], &[("order", Int, "Int"), tenant, ("user", Text, "String")]),
            open,
        ]
    };
    type Line =
        (&'static str, &'static str, bool, &'static str, &'static [(&'static str, &'static str)]);
    let relations: [Line; 16] = [
        ("tenants", "tasks", true, "tasks", &[("id", "tenant_id")]),
        ("tenants", "users", true, "users", &[("id", "tenant_id")]),
        ("users", "tenant", false, "tenants", &[("tenant_id", "id")]),
        ("users", "manager", false, "users", &[("manager_id", "id")]),
        ("users", "users", true, "users", &[("id", "manager_id")]),
        ("users", "profiles", false, "profiles", &[("id", "user_id")]),
        ("users", "tasks_by_owner_id", true, "tasks", &[("id", "owner_id")]),
        ("users", "tasks_by_reviewer_id", true, "tasks", &[("id", "reviewer_id")]),
        ("users", "comments", true, "comments", &[("tenant_id", "tenant_id"), ("id", "author_id")]),
        ("profiles", "user", false, "users", &[("user_id", "id")]),
        ("tasks", "tenant", false, "tenants", &[("tenant_id", "id")]),
        ("tasks", "owner", false, "users", &[("owner_id", "id")]),
        ("tasks", "reviewer", false, "users", &[("reviewer_id", "id")]),
        ("tasks", "comments", true, "comments", &[("id", "task_id")]),
        ("comments", "task", false, "tasks", &[("task_id", "id")]),
        ("comments", "author", false, "users", &[("tenant_id", "tenant_id"), ("author_id", "id")]),
    ];
    for (from, name, many, target, on) in relations {
        let sees = |table: &str, column: &str| {
            tables.iter().any(|t| t.name == table && t.column(column).is_some())
        };
        if on.iter().all(|(here, there)| sees(from, here) && sees(target, there)) {
            let relation = Relation { name, many, target, on: on.to_vec() };
            tables.iter_mut().find(|t| t.name == from).expect("seen").relations.push(relation);
        }
    }
    tables.into_iter().map(|table| (table.name, table)).collect()
}
