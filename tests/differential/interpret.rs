//! What an operation means, done the plain way.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::generate::{Field, Item, Node, Operation, Value};
use super::labels;
use super::model::{Column, Key, Kind, Model, Relation, Row, STATISTICS, Table, decimal_text, key};
use super::reference::{Reference, entries, expression, items};

pub struct World<'a> {
    pub model: &'a Model,
    pub rows: &'a HashMap<&'static str, Vec<Row>>,
    pub operation: &'a Operation,
    /// What psql says to whom sees the rows.
    pub reference: &'a Mutex<Reference>,
    pub outcomes: &'a Mutex<Outcomes>,
}

/// How often each operator of each scalar held, and how often it did not.
pub type Outcomes = BTreeMap<(String, String), (usize, usize)>;

/// Fields by response key, in order of appearance.
type Collected<'a> = Vec<(&'a str, Vec<&'a Field>)>;

impl<'a> World<'a> {
    pub fn answer(&self) -> String {
        let mut fields = Vec::new();
        self.collect(&self.operation.roots, &mut fields);
        let all: Vec<String> = fields
            .iter()
            .map(|(key, fields)| {
                let name = fields[0].name.as_str();
                let all = |table: &Table| self.rows[table.name].iter().collect();
                let value = if let Some(table) = self.model.get(name) {
                    self.list(table, all(table), fields)
                } else if let Some(name) = name.strip_suffix("_by_pk") {
                    self.by_pk(&self.model[name], fields)
                } else if let Some(name) = name.strip_suffix("_aggregate") {
                    let table = &self.model[name];
                    self.aggregate(table, all(table), fields)
                } else {
                    "\"query_root\"".to_owned()
                };
                format!("\"{key}\":{value}")
            })
            .collect();
        format!("{{{}}}", all.join(","))
    }

    fn collect<'b>(&'b self, items: &'b [Item], out: &mut Collected<'b>) {
        for item in items {
            let condition = match item {
                Item::Field(field) => &field.condition,
                Item::Inline { condition, .. } | Item::Spread { condition, .. } => condition,
            };
            if condition.as_ref().is_some_and(|condition| !condition.includes()) {
                continue;
            }
            match item {
                Item::Field(field) => match out.iter_mut().find(|(key, _)| *key == field.key()) {
                    Some((_, fields)) => fields.push(field),
                    None => out.push((field.key(), vec![field])),
                },
                Item::Inline { items, .. } => self.collect(items, out),
                Item::Spread { fragment, .. } => {
                    self.collect(&self.operation.fragments[*fragment].items, out);
                }
            }
        }
    }

    fn by_pk(&self, table: &Table, fields: &[&Field]) -> String {
        let found = self.rows[table.name].iter().find(|row| {
            fields[0].args.iter().all(|(name, value)| {
                let kind = table.column(name).unwrap().kind;
                row[name].key == operand(kind, value)
            })
        });
        found.map_or("null".to_owned(), |row| self.object(table, row, fields))
    }

    fn object(&self, table: &Table, row: &Row, parents: &[&Field]) -> String {
        let mut fields = Vec::new();
        for parent in parents {
            self.collect(&parent.items, &mut fields);
        }
        let all: Vec<String> = fields
            .iter()
            .map(|(key, fields)| {
                let name = fields[0].name.as_str();
                let value = if name == "__typename" {
                    format!("\"{}\"", table.name)
                } else if let Some(relation) = table.relation(name) {
                    let target = &self.model[relation.target];
                    let rows = self.follow(row, relation);
                    if relation.many {
                        self.list(target, rows, fields)
                    } else {
                        let row = rows.first();
                        row.map_or("null".to_owned(), |row| self.object(target, row, fields))
                    }
                } else if let Some(relation) =
                    name.strip_suffix("_aggregate").and_then(|name| table.relation(name))
                {
                    let target = &self.model[relation.target];
                    self.aggregate(target, self.follow(row, relation), fields)
                } else {
                    row[name].json.clone()
                };
                format!("\"{key}\":{value}")
            })
            .collect();
        format!("{{{}}}", all.join(","))
    }

    /// The rows that a row leads to; null joins nothing.
    fn follow(&self, row: &Row, relation: &Relation) -> Vec<&'a Row> {
        self.rows[relation.target]
            .iter()
            .filter(|other| {
                relation.on.iter().all(|(here, there)| {
                    row[*here].key.is_some() && row[*here].key == other[*there].key
                })
            })
            .collect()
    }

    fn list(&self, table: &Table, rows: Vec<&'a Row>, fields: &[&Field]) -> String {
        let rows = self.chosen(table, rows, fields[0]);
        let all: Vec<String> =
            rows.into_iter().map(|row| self.object(table, row, fields)).collect();
        format!("[{}]", all.join(","))
    }

    /// An object of fields that are not those of a row.
    fn made(
        &self,
        ty: &str,
        parents: &[&Field],
        value: impl Fn(&str, &[&Field]) -> String,
    ) -> String {
        let mut fields = Vec::new();
        for parent in parents {
            self.collect(&parent.items, &mut fields);
        }
        let all: Vec<String> = fields
            .iter()
            .map(|(key, fields)| {
                let value = match fields[0].name.as_str() {
                    "__typename" => format!("\"{ty}\""),
                    name => value(name, fields),
                };
                format!("\"{key}\":{value}")
            })
            .collect();
        format!("{{{}}}", all.join(","))
    }

    fn aggregate(&self, table: &Table, rows: Vec<&'a Row>, fields: &[&Field]) -> String {
        let rows = self.chosen(table, rows, fields[0]);
        self.made(&format!("{}_aggregate", table.name), fields, |name, fields| match name {
            "nodes" => {
                let all: Vec<String> =
                    rows.iter().map(|row| self.object(table, row, fields)).collect();
                format!("[{}]", all.join(","))
            }
            "groups" => self.groups(table, &rows, fields),
            _ => self.functions(table, &rows, fields),
        })
    }

    fn groups(&self, table: &Table, rows: &[&'a Row], fields: &[&Field]) -> String {
        let by = names(fields[0].arg("by").unwrap());
        let key = |row: &Row| by.iter().map(|name| row[*name].key.clone()).collect::<Vec<_>>();
        let mut sorted = rows.to_vec();
        sorted.sort_by(|a, b| {
            key(a)
                .iter()
                .zip(&key(b))
                .fold(Ordering::Equal, |so_far, (a, b)| so_far.then_with(|| compare(a, b, "asc")))
        });
        let ty = format!("{}_aggregate_group", table.name);
        let all: Vec<String> = sorted
            .chunk_by(|a, b| key(a) == key(b))
            .map(|group| {
                self.made(&ty, fields, |name, fields| match name {
                    "key" => self
                        .made(&format!("{ty}_key"), fields, |name, _| group[0][name].json.clone()),
                    _ => self.functions(table, group, fields),
                })
            })
            .collect();
        format!("[{}]", all.join(","))
    }

    fn functions(&self, table: &Table, rows: &[&'a Row], fields: &[&Field]) -> String {
        self.made(&format!("{}_aggregate_fields", table.name), fields, |name, fields| {
            if name == "count" {
                let columns = fields[0].arg("columns").map(names).unwrap_or_default();
                let distinct = fields[0].arg("distinct").is_some_and(|v| v.json() == "true");
                return count(rows, &columns, distinct).to_string();
            }
            let ty = format!("{}_{name}_fields", table.name);
            self.made(&ty, fields, |column, _| {
                let kind = table.column(column).unwrap().kind;
                let cells = rows.iter().map(|row| &row[column]).filter(|cell| cell.key.is_some());
                match name {
                    "max" => cells.max_by_key(|cell| &cell.key),
                    "min" => cells.min_by_key(|cell| &cell.key),
                    name if STATISTICS.contains(&name) => {
                        let values: Vec<&str> = cells.map(|cell| cell.json.as_str()).collect();
                        let mut reference = self.reference.lock().unwrap();
                        return reference.aggregate(name, table.column(column).unwrap(), &values);
                    }
                    _ => {
                        let sum = cells
                            .map(|cell| match cell.key {
                                Some(Key::Number(n)) => n,
                                _ => panic!("a sum needs numbers"),
                            })
                            .reduce(|a, b| a + b);
                        return match (sum, kind) {
                            (None, _) => "null".to_owned(),
                            (Some(sum), Kind::Decimal) => decimal_text(sum),
                            (Some(sum), _) => sum.to_string(),
                        };
                    }
                }
                .map_or("null".to_owned(), |cell| cell.json.clone())
            })
        })
    }

    /// The rows that a list is about.
    fn chosen(&self, table: &Table, mut rows: Vec<&'a Row>, field: &Field) -> Vec<&'a Row> {
        if let Some(filter) = field.arg("where") {
            rows.retain(|row| self.holds(table, row, filter) == Some(true));
        }
        let mut order = Vec::new();
        if let Some(order_by) = field.arg("order_by") {
            for item in items(order_by) {
                self.orders(table, item, &mut Vec::new(), &mut order);
            }
        }
        rows.sort_by(|a, b| {
            order.iter().fold(Ordering::Equal, |so_far, (path, key, word)| {
                so_far.then_with(|| {
                    compare(&self.reach(a, path, key), &self.reach(b, path, key), word)
                })
            })
        });
        if let Some(distinct) = field.arg("distinct_on") {
            let columns: Vec<&str> = items(distinct).into_iter().map(word).collect();
            let mut seen: Vec<Vec<Option<Key>>> = Vec::new();
            rows.retain(|row| {
                let group: Vec<_> = columns.iter().map(|name| row[*name].key.clone()).collect();
                let new = !seen.contains(&group);
                if new {
                    seen.push(group);
                }
                new
            });
        }
        let number = |name: &str| {
            field
                .arg(name)
                .map(|value| value.json())
                .filter(|json| json != "null")
                .map(|json| json.parse().unwrap())
        };
        rows.into_iter()
            .skip(number("offset").unwrap_or(0))
            .take(number("limit").unwrap_or(usize::MAX))
            .collect()
    }

    fn orders<'b>(
        &self,
        table: &Table,
        item: &'b Value,
        path: &mut Vec<Relation>,
        out: &mut Vec<(Vec<Relation>, OrderKey<'b>, &'b str)>,
    ) {
        for (name, value) in entries(item) {
            if let Some(relation) = table.relation(name) {
                path.push(relation.clone());
                self.orders(&self.model[relation.target], value, path, out);
                path.pop();
            } else if let Some(relation) =
                name.strip_suffix("_aggregate").and_then(|name| table.relation(name))
            {
                let (function, value) = &entries(value)[0];
                let (column, word) = match &value.node {
                    Node::Word(direction) => ("", direction.as_str()),
                    _ => {
                        let (column, direction) = &entries(value)[0];
                        (column.as_str(), word(direction))
                    }
                };
                let key = OrderKey::Aggregate(relation.clone(), function, column);
                out.push((path.clone(), key, word));
            } else {
                out.push((path.clone(), OrderKey::Column(name), word(value)));
            }
        }
    }

    fn reach(&self, row: &Row, path: &[Relation], key: &OrderKey<'_>) -> Option<Key> {
        match (path.split_first(), key) {
            (None, OrderKey::Column(column)) => row[*column].key.clone(),
            (None, OrderKey::Aggregate(relation, function, column)) => {
                let rows = self.follow(row, relation);
                let keys = rows.iter().filter_map(|row| row.get(column)?.key.clone());
                match *function {
                    "count" => Some(Key::Number(i128::try_from(rows.len()).unwrap())),
                    "max" => keys.max(),
                    _ => keys.min(),
                }
            }
            (Some((first, rest)), key) => {
                self.follow(row, first).first().and_then(|row| self.reach(row, rest, key))
            }
        }
    }

    /// `{count: {arguments, distinct, filter, predicate}}` and the like.
    fn aggregates(&self, table: &Table, mut rows: Vec<&'a Row>, value: &Value) -> Option<bool> {
        let (function, value) = &entries(value)[0];
        let parts = entries(value);
        let part = |name: &str| parts.iter().find(|(given, _)| given == name).map(|(_, v)| v);
        if let Some(filter) = part("filter") {
            rows.retain(|row| self.holds(table, row, filter) == Some(true));
        }
        let distinct = part("distinct").is_some_and(|value| value.json() == "true");
        let compared = entries(part("predicate").unwrap());
        let arguments = part("arguments");
        if function == "count" {
            let columns = arguments.map(names).unwrap_or_default();
            let count = Key::Number(i128::try_from(count(&rows, &columns, distinct)).unwrap());
            return all(compared.iter().map(|(op, v)| compares(op, Kind::Int, Some(&count), v)));
        }
        let columns: Vec<&str> = match &arguments.unwrap().node {
            Node::Object(pair) => ["Y", "X"]
                .iter()
                .filter_map(|name| pair.iter().find(|(given, _)| given == name))
                .map(|(_, column)| word(column))
                .collect(),
            _ => vec![word(arguments.unwrap())],
        };
        let scalar = table.column(columns[0]).unwrap().scalar;
        let values: Vec<Vec<&str>> = columns
            .iter()
            .map(|column| rows.iter().map(|row| row[*column].json.as_str()).collect())
            .collect();
        let mut reference = self.reference.lock().unwrap();
        reference.aggregate_holds(function, &values, scalar, distinct, compared)
    }

    fn holds(&self, table: &Table, row: &Row, filter: &Value) -> Option<bool> {
        all(entries(filter).iter().map(|(name, value)| match name.as_str() {
            "_and" => all(items(value).into_iter().map(|part| self.holds(table, row, part))),
            "_or" => any(items(value).into_iter().map(|part| self.holds(table, row, part))),
            "_not" => self.holds(table, row, value).map(|truth| !truth),
            name if name.ends_with("_aggregate") => {
                let name = name.strip_suffix("_aggregate").unwrap();
                let relation = table.relation(name).unwrap();
                self.aggregates(&self.model[relation.target], self.follow(row, relation), value)
            }
            name => match table.relation(name) {
                Some(relation) => {
                    let target = &self.model[relation.target];
                    let rows = self.follow(row, relation);
                    Some(rows.iter().any(|row| self.holds(target, row, value) == Some(true)))
                }
                None => {
                    let subject = Subject::of(table, row, table.column(name).unwrap());
                    self.compared(&subject, value)
                }
            },
        }))
    }

    fn compared(&self, subject: &Subject<'_>, value: &Value) -> Option<bool> {
        all(entries(value).iter().map(|(op, value)| {
            let truth = self.decides(subject, op, value);
            let mut outcomes = self.outcomes.lock().unwrap();
            let (held, not) = outcomes.entry((subject.scalar.to_owned(), op.clone())).or_default();
            *(if truth == Some(true) { held } else { not }) += 1;
            truth
        }))
    }

    fn decides(&self, subject: &Subject<'_>, op: &str, value: &Value) -> Option<bool> {
        if op == "_cast" {
            return all(entries(value)
                .iter()
                .map(|(target, value)| self.compared(&subject.cast(target), value)));
        }
        let told = || {
            let expression = expression(&subject.sql, subject.scalar, op, value);
            self.reference.lock().unwrap().holds(subject.table, subject.row.place, &expression)
        };
        if !is_plain(subject.kind, op) {
            return told();
        }
        let truth = compares(op, subject.kind, subject.own.as_ref(), value);
        if subject.kind == Kind::Path {
            assert_eq!(truth, told(), "{:?} {op} {}", subject.own, value.json());
        }
        truth
    }
}

/// The left side of an operator.
struct Subject<'b> {
    table: &'b Table,
    row: &'b Row,
    sql: String,
    kind: Kind,
    scalar: &'b str,
    own: Option<Key>,
}

impl<'b> Subject<'b> {
    fn of(table: &'b Table, row: &'b Row, column: &'b Column) -> Self {
        Subject {
            table,
            row,
            sql: format!("\"{}\"", column.name),
            kind: column.kind,
            scalar: column.scalar,
            own: row[column.name].key.clone(),
        }
    }

    /// Read as another type, whose name is that of Postgres but for texts.
    fn cast<'c>(&'c self, target: &'c str) -> Subject<'c> {
        let (kind, ty) = match target {
            "String" => (Kind::Text, "text"),
            other => (Kind::Told, other),
        };
        Subject {
            sql: format!("({}::{ty})", self.sql),
            kind,
            scalar: target,
            own: self.own.clone(),
            ..*self
        }
    }
}

/// Whether a comparison is done here.
fn is_plain(kind: Kind, op: &str) -> bool {
    let ordered = matches!(op, "_gt" | "_gte" | "_lt" | "_lte");
    match kind {
        Kind::Told => false,
        Kind::Json => !ordered && !op.starts_with("_jsonb_path"),
        Kind::Ints => !ordered && !matches!(op, "_in" | "_nin"),
        _ => true,
    }
}

/// What rows are ordered by.
enum OrderKey<'b> {
    Column(&'b str),
    /// Relation, function, column.
    Aggregate(Relation, &'b str, &'b str),
}

/// `count(…)` of SQL: several columns are a row, which is never null.
fn count(rows: &[&Row], columns: &[&str], distinct: bool) -> usize {
    let mut seen: Vec<Vec<Option<Key>>> = Vec::new();
    for row in rows {
        let cells: Vec<Option<Key>> = columns.iter().map(|name| row[*name].key.clone()).collect();
        if cells.len() == 1 && cells[0].is_none() {
            continue;
        }
        if !distinct || columns.is_empty() || !seen.contains(&cells) {
            seen.push(cells);
        }
    }
    seen.len()
}

/// Operators of jsonb and of arrays; `own` is the text of a value.
fn holds_json(op: &str, own: &str, value: &Value) -> Option<bool> {
    use serde_json::Value as Json;
    let parse = |text: &str| serde_json::from_str::<Json>(text).expect("JSON");
    let own_json = parse(own);
    let given = || parse(&value.json());
    let has = |key: &str| match &own_json {
        Json::Object(map) => map.contains_key(key),
        Json::Array(items) => items.iter().any(|item| item.as_str() == Some(key)),
        Json::String(text) => text == key,
        _ => false,
    };
    Some(match op {
        "_eq" => own_json == given(),
        "_neq" => own_json != given(),
        "_contains" => contains(&own_json, &given(), true),
        "_contained_in" => contains(&given(), &own_json, true),
        "_has_key" => has(given().as_str().unwrap()),
        "_has_keys_any" => given().as_array().unwrap().iter().any(|k| has(k.as_str().unwrap())),
        "_has_keys_all" => given().as_array().unwrap().iter().all(|k| has(k.as_str().unwrap())),
        _ => panic!("no operator {op}"),
    })
}

/// `a @> b` of jsonb.
fn contains(a: &serde_json::Value, b: &serde_json::Value, top: bool) -> bool {
    use serde_json::Value as Json;
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => {
            b.iter().all(|(key, value)| a.get(key).is_some_and(|own| contains(own, value, false)))
        }
        (Json::Array(a), Json::Array(b)) => {
            b.iter().all(|value| a.iter().any(|own| contains(own, value, false)))
        }
        // At the top, an array may contain a primitive.
        (Json::Array(a), b) if top && !b.is_object() => a.contains(b),
        _ => a == b,
    }
}

/// The same of arrays of Postgres: null is found nowhere.
fn holds_ints(op: &str, own: &str, value: &Value) -> Option<bool> {
    let parse = |text: &str| serde_json::from_str::<Vec<Option<i64>>>(text).expect("a list");
    let (own, given) = (parse(own), parse(&value.json()));
    let within = |a: &[Option<i64>], b: &[Option<i64>]| {
        a.iter().all(|item| item.is_some() && b.contains(item))
    };
    Some(match op {
        "_eq" => own == given,
        "_neq" => own != given,
        "_contains" => within(&given, &own),
        _ => within(&own, &given),
    })
}

const ORDERED: [&str; 6] = ["_eq", "_neq", "_gt", "_gte", "_lt", "_lte"];

/// Operators of paths.
fn holds_path(op: &str, own: &[String], value: &Value) -> bool {
    let path = |value: &Value| labels::of_json(&value.json());
    let query = |value: &Value| serde_json::from_str::<String>(&value.json()).expect("a string");
    let some = |holds: &dyn Fn(&Value) -> bool| items(value).into_iter().any(holds);
    let above = |value: &Value| labels::is_ancestor(own, &path(value));
    let below = |value: &Value| labels::is_ancestor(&path(value), own);
    let matches = |value: &Value| labels::matches(own, &query(value));
    match op {
        "_ancestor" => above(value),
        "_ancestor_any" => some(&above),
        "_descendant" => below(value),
        "_descendant_any" => some(&below),
        "_matches" => matches(value),
        "_matches_any" => some(&matches),
        "_matches_fulltext" => labels::matches_fulltext(own, &query(value)),
        _ => panic!("no operator {op}"),
    }
}

/// A regular expression of plain characters, dots and anchors.
fn matches(text: &str, pattern: &str, fold: bool) -> bool {
    let chars = |text: &str| -> Vec<char> {
        if fold {
            text.chars().flat_map(char::to_lowercase).collect()
        } else {
            text.chars().collect()
        }
    };
    let inner = pattern.strip_prefix('^').unwrap_or(pattern);
    let body = inner.strip_suffix('$').unwrap_or(inner);
    let (text, body) = (chars(text), chars(body));
    let last = text.len().checked_sub(body.len());
    last.is_some_and(|last| {
        (0..=last)
            .filter(|at| (*at == 0 || inner == pattern) && (*at == last || !inner.ends_with('$')))
            .any(|at| body.iter().zip(&text[at..]).all(|(p, c)| *p == '.' || p == c))
    })
}

fn compares(op: &str, kind: Kind, own: Option<&Key>, value: &Value) -> Option<bool> {
    match op {
        "_is_null" => return Some(own.is_none() == (value.json() == "true")),
        "_in" => return any(items(value).into_iter().map(|v| compares("_eq", kind, own, v))),
        "_nin" => return all(items(value).into_iter().map(|v| compares("_neq", kind, own, v))),
        _ => {}
    }
    let own = own?;
    match (kind, own) {
        (Kind::Json, Key::Text(text)) => return holds_json(op, text, value),
        (Kind::Ints, Key::Text(text)) => return holds_ints(op, text, value),
        (Kind::Path, Key::Labels(path)) if !ORDERED.contains(&op) => {
            return Some(holds_path(op, path, value));
        }
        _ => {}
    }
    let order = own.cmp(&operand(kind, value)?);
    Some(match op {
        "_eq" => order.is_eq(),
        "_neq" => order.is_ne(),
        "_gt" => order.is_gt(),
        "_gte" => order.is_ge(),
        "_lt" => order.is_lt(),
        "_lte" => order.is_le(),
        _ => {
            let (Key::Text(text), Some(Key::Text(pattern))) = (own, operand(kind, value)) else {
                panic!("a pattern needs text");
            };
            let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<_>>();
            let plain = |text: &str| text.chars().collect::<Vec<_>>();
            let found = match op {
                "_regex" | "_nregex" => matches(text, &pattern, false),
                "_iregex" | "_niregex" => matches(text, &pattern, true),
                "_like" | "_nlike" | "_similar" | "_nsimilar" => {
                    like(&plain(text), &plain(&pattern))
                }
                _ => like(&lower(text), &lower(&pattern)),
            };
            found != matches!(op, "_nlike" | "_nilike" | "_nsimilar" | "_nregex" | "_niregex")
        }
    })
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|n| like(&text[n..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && like(&text[1..], rest),
    }
}

/// AND of SQL: false wins over unknown, which wins over true.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut truth = Some(true);
    for part in parts {
        truth = match (truth, part) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, _) | (_, None) => None,
            _ => Some(true),
        };
    }
    truth
}

/// OR of SQL.
fn any(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all(parts.map(|part| part.map(|truth| !truth))).map(|truth| !truth)
}

fn compare(a: &Option<Key>, b: &Option<Key>, word: &str) -> Ordering {
    let descending = word.starts_with("desc");
    let nulls_first = word.ends_with("first") || word == "desc";
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => {
            if nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (Some(_), None) => {
            if nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (Some(a), Some(b)) if descending => b.cmp(a),
        (Some(a), Some(b)) => a.cmp(b),
    }
}

fn operand(kind: Kind, value: &Value) -> Option<Key> {
    key(kind, &value.json())
}

fn names(value: &Value) -> Vec<&str> {
    items(value).into_iter().map(word).collect()
}

fn word(value: &Value) -> &str {
    match &value.node {
        Node::Word(word) => word,
        _ => panic!("a word was generated"),
    }
}
