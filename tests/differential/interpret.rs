//! What an operation means, done the plain way.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::generate::{Field, Item, Node, Operation, Value};
use super::model::{Key, Kind, Model, Relation, Row, Table, key};

pub struct World<'a> {
    pub model: &'a Model,
    pub rows: &'a HashMap<&'static str, Vec<Row>>,
    pub operation: &'a Operation,
}

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
                let value = match (self.model.get(name), name.strip_suffix("_by_pk")) {
                    (Some(table), _) => {
                        self.list(table, self.rows[table.name].iter().collect(), fields)
                    }
                    (None, Some(name)) => self.by_pk(&self.model[name], fields),
                    _ => "\"query_root\"".to_owned(),
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

    fn list(&self, table: &Table, mut rows: Vec<&'a Row>, fields: &[&Field]) -> String {
        let field = fields[0];
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
            order.iter().fold(Ordering::Equal, |so_far, (path, column, word)| {
                so_far.then_with(|| {
                    compare(&self.reach(a, path, column), &self.reach(b, path, column), word)
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
        let all: Vec<String> = rows
            .into_iter()
            .skip(number("offset").unwrap_or(0))
            .take(number("limit").unwrap_or(usize::MAX))
            .map(|row| self.object(table, row, fields))
            .collect();
        format!("[{}]", all.join(","))
    }

    fn orders<'b>(
        &self,
        table: &Table,
        item: &'b Value,
        path: &mut Vec<Relation>,
        out: &mut Vec<(Vec<Relation>, &'b str, &'b str)>,
    ) {
        for (name, value) in entries(item) {
            match table.relation(name) {
                Some(relation) => {
                    path.push(relation.clone());
                    self.orders(&self.model[relation.target], value, path, out);
                    path.pop();
                }
                None => out.push((path.clone(), name.as_str(), word(value))),
            }
        }
    }

    fn reach(&self, row: &Row, path: &[Relation], column: &str) -> Option<Key> {
        match path.split_first() {
            None => row[column].key.clone(),
            Some((first, rest)) => {
                self.follow(row, first).first().and_then(|row| self.reach(row, rest, column))
            }
        }
    }

    fn holds(&self, table: &Table, row: &Row, filter: &Value) -> Option<bool> {
        all(entries(filter).iter().map(|(name, value)| match name.as_str() {
            "_and" => all(items(value).into_iter().map(|part| self.holds(table, row, part))),
            "_or" => any(items(value).into_iter().map(|part| self.holds(table, row, part))),
            "_not" => self.holds(table, row, value).map(|truth| !truth),
            name => match table.relation(name) {
                Some(relation) => {
                    let target = &self.model[relation.target];
                    let rows = self.follow(row, relation);
                    Some(rows.iter().any(|row| self.holds(target, row, value) == Some(true)))
                }
                None => {
                    let kind = table.column(name).unwrap().kind;
                    let own = row[name].key.as_ref();
                    all(entries(value).iter().map(|(op, value)| compares(op, kind, own, value)))
                }
            },
        }))
    }
}

fn compares(op: &str, kind: Kind, own: Option<&Key>, value: &Value) -> Option<bool> {
    match op {
        "_is_null" => return Some(own.is_none() == (value.json() == "true")),
        "_in" => return any(items(value).into_iter().map(|v| compares("_eq", kind, own, v))),
        "_nin" => return all(items(value).into_iter().map(|v| compares("_neq", kind, own, v))),
        _ => {}
    }
    let own = own?;
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
                "_like" | "_nlike" | "_similar" | "_nsimilar" => {
                    like(&plain(text), &plain(&pattern))
                }
                _ => like(&lower(text), &lower(&pattern)),
            };
            found != matches!(op, "_nlike" | "_nilike" | "_nsimilar")
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

fn entries(value: &Value) -> &[(String, Value)] {
    match &value.node {
        Node::Object(entries) => entries,
        _ => panic!("an object was generated"),
    }
}

/// The items of a list; anything else stands for a list of itself.
fn items(value: &Value) -> Vec<&Value> {
    match &value.node {
        Node::List(items) => items.iter().collect(),
        _ => vec![value],
    }
}

fn word(value: &Value) -> &str {
    match &value.node {
        Node::Word(word) => word,
        _ => panic!("a word was generated"),
    }
}
