//! The fixture as a caller should see it, written down by hand.

use std::collections::{BTreeMap, HashMap};
use std::ops::Index;

use serde_json::value::RawValue;

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
    /// ltree
    Path,
    /// psql says which rows a comparison holds for.
    Told,
}

impl Kind {
    /// Whether an aggregate function takes it.
    pub fn takes(self, function: &str) -> bool {
        match function {
            "max" | "min" => {
                !matches!(self, Kind::Bool | Kind::Json | Kind::Ints | Kind::Path | Kind::Told)
            }
            _ => matches!(self, Kind::Int | Kind::Decimal),
        }
    }

    /// Whether rows are sorted and grouped by it.
    pub fn sorts(self) -> bool {
        !matches!(self, Kind::Json | Kind::Ints | Kind::Told)
    }
}

/// Aggregates of which psql says what they are of some values.
pub const STATISTICS: [&str; 7] =
    ["avg", "stddev", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance"];

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

impl Column {
    pub fn is_place(&self) -> bool {
        matches!(self.scalar, "geometry" | "geography")
    }
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
    Labels(Vec<String>),
}

/// A value: the JSON text, and its key unless it is null.
#[derive(Debug, Clone)]
pub struct Cell {
    pub json: String,
    pub key: Option<Key>,
}

/// A row, and its place among those of its table.
#[derive(Debug, Clone)]
pub struct Row {
    pub place: usize,
    cells: HashMap<String, Cell>,
}

impl Row {
    pub fn get(&self, column: &str) -> Option<&Cell> {
        self.cells.get(column)
    }
}

impl Index<&str> for Row {
    type Output = Cell;

    fn index(&self, column: &str) -> &Cell {
        &self.cells[column]
    }
}

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
        Kind::Text | Kind::Plain => Key::Text(text()),
        Kind::Path => Key::Labels(labels(&text())),
        Kind::Told => Key::Text(json.to_owned()),
    })
}

/// The labels of a path, of which an empty one has none.
pub fn labels(path: &str) -> Vec<String> {
    path.split('.').filter(|label| !label.is_empty()).map(str::to_owned).collect()
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

    /// The columns of the key, in which the rows are in order.
    pub fn order(&self) -> String {
        let key = self.key.iter().map(|column| format!("\"{}\".\"{column}\"", self.name));
        let key: Vec<String> = key.collect();
        key.join(", ")
    }

    /// Each row as one line: the table and JSON.
    pub fn query(&self) -> String {
        let shown = |column: &Column| match column.is_place() {
            // In the long form and with the digits that Hasura shows.
            true => format!("ST_AsGeoJSON(\"{0}\", 15, 4)::json as \"{0}\"", column.name),
            false => format!("\"{}\"", column.name),
        };
        self.lines(self.columns.iter().map(shown).collect())
    }

    /// The same with values as Postgres writes and reads them.
    pub fn texts(&self) -> String {
        let text = |column: &Column| format!("\"{0}\"::text as \"{0}\"", column.name);
        self.lines(self.columns.iter().map(text).collect())
    }

    fn lines(&self, columns: Vec<String>) -> String {
        format!(
            "set search_path = public, gis; \
             select '{0}', row_to_json(x) from (select {1} from \"{0}\" order by {2}) x;\n",
            self.name,
            columns.join(", "),
            self.order(),
        )
    }

    fn own<'a>(&'a self, lines: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = lines.lines().filter_map(|line| line.split_once('|'));
        pairs.filter(|(table, _)| *table == self.name).map(|(_, json)| json)
    }

    /// The rows among lines of all tables.
    pub fn rows(&self, lines: &str) -> Vec<Row> {
        self.own(lines).enumerate().map(|(place, line)| self.row(place, line)).collect()
    }

    fn row(&self, place: usize, line: &str) -> Row {
        let cells: HashMap<String, Box<RawValue>> = serde_json::from_str(line).expect("JSON");
        let cells = cells
            .into_iter()
            .map(|(name, raw)| {
                let kind = self.column(&name).expect("a column").kind;
                let cell = Cell { json: raw.get().to_owned(), key: key(kind, raw.get()) };
                (name, cell)
            })
            .collect();
        Row { place, cells }
    }

    /// Takes note of the values of all rows: numbers, places and what is
    /// compared here as they are shown, all others as their texts.
    pub fn learn(&mut self, lines: &str, texts: &str) {
        let rows = self.rows(lines);
        let texts: Vec<HashMap<String, serde_json::Value>> =
            self.own(texts).map(|line| serde_json::from_str(line).expect("JSON")).collect();
        for column in &mut self.columns {
            let values = rows.iter().map(|row| &row[column.name]).zip(&texts);
            column.known = values
                .filter(|(cell, _)| cell.key.is_some())
                // JSON has no infinite numbers, and `Float` takes no texts.
                .filter(|(cell, _)| column.scalar != "Float" || !cell.json.starts_with('"'))
                .map(|(cell, texts)| match (column.kind, column.scalar) {
                    (_, "numeric" | "Float" | "float8" | "geometry" | "geography") => {
                        cell.json.clone()
                    }
                    (Kind::Told, _) => texts[column.name].to_string(),
                    _ => cell.json.clone(),
                })
                .collect();
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
    use Kind::{Bool, Decimal, Int, Ints, Json, Label, Path, Plain, Text, Told};
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
        let users = table("users", &["id"], &[("id", Int, "Int"), ("name", Text, "String")]);
        let sites = table(
            "sites",
            &["id"],
            &[
                ("id", Int, "Int"),
                ("path", Path, "ltree"),
                ("area", Told, "geometry"),
                ("owner_id", Int, "Int"),
                ("open", Bool, "Boolean"),
            ],
        );
        vec![tasks, users, sites]
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
                    ("exact", Told, "numeric"),
                    ("single", Told, "Float"),
                    ("double", Told, "float8"),
                    ("fixed", Told, "bpchar"),
                    ("raw", Told, "bytea"),
                    ("day", Told, "date"),
                    ("moment", Told, "timestamptz"),
                    ("local", Told, "timestamp"),
                    ("clock", Told, "time"),
                    ("span", Told, "interval"),
                    ("doc", Told, "json"),
                    ("docb", Json, "jsonb"),
                    ("numbers", Ints, "_int4"),
                    ("words", Told, "_text"),
                    ("states", Told, "_task_status"),
                    ("place", Told, "address"),
                    ("net", Told, "inet"),
                    ("spot", Told, "point"),
                    ("period", Told, "int4range"),
                    ("bits", Told, "varbit"),
                    ("cash", Told, "money"),
                    ("words_of", Told, "tsvector"),
                ],
            ),
            table(
                "sites",
                &["id"],
                &[
                    ("id", Int, "Int"),
                    tenant,
                    ("owner_id", Int, "Int"),
                    ("parent_id", Int, "Int"),
                    ("path", Path, "ltree"),
                    ("nick", Told, "citext"),
                    ("spot", Told, "geography"),
                    ("area", Told, "geometry"),
                    ("tile", Told, "raster"),
                    ("height", Told, "float8"),
                    ("width", Told, "float8"),
                    ("open", Bool, "Boolean"),
                ],
            ),
            table("Select", &["order"], &[("order", Int, "Int"), tenant, ("user", Text, "String")]),
            open,
        ]
    };
    type Line =
        (&'static str, &'static str, bool, &'static str, &'static [(&'static str, &'static str)]);
    let relations: [Line; 20] = [
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
        ("users", "sites", true, "sites", &[("id", "owner_id")]),
        ("sites", "owner", false, "users", &[("owner_id", "id")]),
        ("sites", "parent", false, "sites", &[("parent_id", "id")]),
        ("sites", "sites", true, "sites", &[("id", "parent_id")]),
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
