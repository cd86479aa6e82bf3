//! Operations from a seed, and their documents.

use super::model::{Column, Kind, LABELS, Model, STATISTICS, Table};

/// SplitMix64: the same numbers on every machine and with every library.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// An argument or a part of one; `variable` sends it as one.
#[derive(Debug, Clone)]
pub struct Value {
    /// Its type, as a declaration would name it.
    pub ty: String,
    pub node: Node,
    pub variable: bool,
}

#[derive(Debug, Clone)]
pub enum Node {
    Object(Vec<(String, Value)>),
    List(Vec<Value>),
    /// JSON, which is also a literal of GraphQL.
    Leaf(String),
    Word(String),
}

#[derive(Debug, Clone)]
pub struct Condition {
    pub skip: bool,
    pub value: bool,
    pub variable: bool,
}

impl Condition {
    pub fn includes(&self) -> bool {
        self.value != self.skip
    }
}

#[derive(Debug, Clone)]
pub struct Field {
    pub alias: Option<String>,
    pub name: String,
    pub args: Vec<(String, Value)>,
    pub items: Vec<Item>,
    pub condition: Option<Condition>,
}

impl Field {
    pub fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    pub fn arg(&self, name: &str) -> Option<&Value> {
        self.args.iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }
}

#[derive(Debug, Clone)]
pub enum Item {
    Field(Field),
    Inline { on: Option<String>, condition: Option<Condition>, items: Vec<Item> },
    Spread { fragment: usize, condition: Option<Condition> },
}

#[derive(Debug, Clone)]
pub struct Fragment {
    pub on: String,
    pub items: Vec<Item>,
}

#[derive(Debug, Clone)]
pub struct Operation {
    pub roots: Vec<Item>,
    pub fragments: Vec<Fragment>,
}

pub struct Generator<'a> {
    random: Random,
    /// What the caller sees.
    model: &'a Model,
    /// Values of all rows.
    known: &'a Model,
    fragments: Vec<Fragment>,
    aliases: usize,
}

impl<'a> Generator<'a> {
    pub fn new(seed: u64, model: &'a Model, known: &'a Model) -> Self {
        Generator { random: Random::new(seed), model, known, fragments: Vec::new(), aliases: 0 }
    }

    pub fn operation(mut self) -> Operation {
        let names: Vec<&str> = self.model.keys().copied().collect();
        let mut roots = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let table = &self.model[*self.random.pick(&names)];
            if self.random.chance(25) {
                let args = self.list_args(table);
                let name = format!("{}_aggregate", table.name);
                let items = self.aggregates(table, 2);
                let condition = self.condition(8);
                roots.push(Item::Field(Field {
                    alias: self.alias(),
                    name,
                    args,
                    items,
                    condition,
                }));
                continue;
            }
            let by_pk = table.by_pk && self.random.chance(25);
            let args = if by_pk { self.key_args(table) } else { self.list_args(table) };
            let name = if by_pk { format!("{}_by_pk", table.name) } else { table.name.to_owned() };
            let items = self.selection(table, 3);
            let condition = self.condition(8);
            roots.push(Item::Field(Field { alias: self.alias(), name, args, items, condition }));
        }
        if self.random.chance(15) {
            roots.push(typename());
        }
        if self.random.chance(15) {
            let items = std::mem::take(&mut roots);
            let on = self.random.chance(60).then(|| "query_root".to_owned());
            roots.push(Item::Inline { on, condition: self.condition(20), items });
        }
        Operation { roots, fragments: self.fragments }
    }

    fn alias(&mut self) -> Option<String> {
        self.aliases += 1;
        let n = self.aliases;
        Some(match self.random.below(20) {
            // Longer than a name of Postgres may be.
            0 => format!("a{n}_{}", "long".repeat(20)),
            1 => format!("select{n}"),
            2 => format!("_{n}"),
            _ => format!("a{n}"),
        })
    }

    fn condition(&mut self, percent: usize) -> Option<Condition> {
        self.random.chance(percent).then(|| Condition {
            skip: self.random.chance(50),
            value: self.random.chance(50),
            variable: self.random.chance(50),
        })
    }

    fn selection(&mut self, table: &'a Table, depth: usize) -> Vec<Item> {
        let mut items = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            match self.random.below(12) {
                0 => items.push(typename()),
                1 => {
                    let inner = self.selection(table, depth.saturating_sub(1));
                    let on = self.random.chance(60).then(|| table.name.to_owned());
                    items.push(Item::Inline { on, condition: self.condition(40), items: inner });
                }
                2 => {
                    let known: Vec<usize> = (0..self.fragments.len())
                        .filter(|n| self.fragments[*n].on == table.name)
                        .collect();
                    let fragment = if !known.is_empty() && self.random.chance(60) {
                        *self.random.pick(&known)
                    } else {
                        let inner = self.selection(table, depth.saturating_sub(1));
                        self.fragments.push(Fragment { on: table.name.to_owned(), items: inner });
                        self.fragments.len() - 1
                    };
                    items.push(Item::Spread { fragment, condition: self.condition(30) });
                }
                3..=6 if depth > 0 && !table.relations.is_empty() => {
                    let relation = self.random.pick(&table.relations);
                    let target = &self.model[relation.target];
                    if relation.many && self.random.chance(30) {
                        let args = self.list_args(target);
                        items.push(Item::Field(Field {
                            alias: self.alias(),
                            name: format!("{}_aggregate", relation.name),
                            args,
                            items: self.aggregates(target, depth - 1),
                            condition: self.condition(10),
                        }));
                        continue;
                    }
                    let args = if relation.many { self.list_args(target) } else { Vec::new() };
                    // Without alias and arguments, fields of one name are merged.
                    let alias =
                        if relation.many || self.random.chance(40) { self.alias() } else { None };
                    let inner = self.selection(target, depth - 1);
                    items.push(Item::Field(Field {
                        alias,
                        name: relation.name.to_owned(),
                        args,
                        items: inner,
                        condition: self.condition(10),
                    }));
                }
                _ => {
                    let column = self.random.pick(&table.columns);
                    let alias = if self.random.chance(25) { self.alias() } else { None };
                    items.push(Item::Field(Field {
                        alias,
                        name: column.name.to_owned(),
                        args: Vec::new(),
                        items: Vec::new(),
                        condition: self.condition(10),
                    }));
                }
            }
        }
        items
    }

    /// What is selected of a `<table>_aggregate`.
    fn aggregates(&mut self, table: &'a Table, depth: usize) -> Vec<Item> {
        let mut items = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let (name, args, inner) = match self.random.below(8) {
                0 => {
                    items.push(typename());
                    continue;
                }
                1 | 2 => ("nodes", Vec::new(), self.selection(table, depth.saturating_sub(1))),
                3 | 4 => {
                    let mut by: Vec<&'static str> = Vec::new();
                    for _ in 0..1 + self.random.below(2) {
                        by.push(self.sortable(table).name);
                    }
                    let (args, items) = (vec![("by".to_owned(), self.columns(table, &by))], {
                        let mut items = Vec::new();
                        for _ in 0..1 + self.random.below(2) {
                            items.push(if self.random.chance(50) {
                                plain("aggregate", self.functions(table))
                            } else {
                                plain("key", vec![plain(self.random.pick::<&str>(&by), Vec::new())])
                            });
                        }
                        if self.random.chance(20) {
                            items.push(typename());
                        }
                        items
                    });
                    ("groups", args, items)
                }
                _ => ("aggregate", Vec::new(), self.functions(table)),
            };
            items.push(Item::Field(Field {
                alias: self.alias(),
                name: name.to_owned(),
                args,
                items: inner,
                condition: self.condition(10),
            }));
        }
        items
    }

    fn functions(&mut self, table: &'a Table) -> Vec<Item> {
        let mut items = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let mut args = Vec::new();
            let (name, inner) = match self.random.below(5) {
                0 | 1 => {
                    if self.random.chance(60) {
                        let columns: Vec<&'static str> = (0..1 + self.random.below(2))
                            .map(|_| self.sortable(table).name)
                            .collect();
                        args.push(("columns".to_owned(), self.columns(table, &columns)));
                    }
                    if self.random.chance(50) {
                        let distinct = Node::Leaf(self.random.chance(70).to_string());
                        args.push(("distinct".to_owned(), self.value("Boolean", distinct, 30)));
                    }
                    ("count", Vec::new())
                }
                _ => {
                    let name = match self.random.below(3) {
                        0 => *self.random.pick(&STATISTICS),
                        _ => *self.random.pick(&["max", "min", "sum"]),
                    };
                    let fit: Vec<&Column> =
                        table.columns.iter().filter(|column| column.kind.takes(name)).collect();
                    if fit.is_empty() {
                        items.push(typename());
                        continue;
                    }
                    let column = self.random.pick(&fit).name;
                    (name, vec![plain(column, Vec::new())])
                }
            };
            items.push(Item::Field(Field {
                alias: self.alias(),
                name: name.to_owned(),
                args,
                items: inner,
                condition: self.condition(8),
            }));
        }
        items
    }

    fn columns(&mut self, table: &Table, names: &[&'static str]) -> Value {
        let ty = format!("{}_select_column", table.name);
        let words = names
            .iter()
            .map(|name| self.value(ty.clone(), Node::Word((*name).to_owned()), 15))
            .collect();
        self.value(format!("[{ty}!]"), Node::List(words), 20)
    }

    fn value(&mut self, ty: impl Into<String>, node: Node, percent: usize) -> Value {
        Value { ty: ty.into(), node, variable: self.random.chance(percent) }
    }

    fn key_args(&mut self, table: &'a Table) -> Vec<(String, Value)> {
        table
            .key
            .iter()
            .map(|name| {
                let column = table.column(name).expect("a column");
                ((*name).to_owned(), self.operand(table, column))
            })
            .collect()
    }

    fn list_args(&mut self, table: &'a Table) -> Vec<(String, Value)> {
        let mut args = Vec::new();
        if self.random.chance(70) {
            args.push(("where".to_owned(), self.filter(table, 3)));
        }
        let mut distinct = Vec::new();
        if self.random.chance(15) {
            for _ in 0..1 + self.random.below(2) {
                let column = self.sortable(table).name;
                if !distinct.contains(&column) {
                    distinct.push(column);
                }
            }
            let word = |random: &mut Self, name: &str| {
                random.value(
                    format!("{}_select_column", table.name),
                    Node::Word(name.to_owned()),
                    20,
                )
            };
            let node = if distinct.len() == 1 && self.random.chance(40) {
                word(self, distinct[0]).node
            } else {
                Node::List(distinct.iter().map(|name| word(self, name)).collect())
            };
            let ty = format!("[{}_select_column!]", table.name);
            // One word may stand for a list, but not as a variable of the list's type in JSON alone.
            args.push(("distinct_on".to_owned(), self.value(ty, node, 20)));
        }
        args.push(("order_by".to_owned(), self.order_by(table, &distinct)));
        for (name, percent, bound) in [("limit", 35, 8), ("offset", 25, 6)] {
            if self.random.chance(percent) {
                let n = self.random.below(bound);
                let text = if self.random.chance(8) { "null".to_owned() } else { n.to_string() };
                args.push((name.to_owned(), self.value("Int", Node::Leaf(text), 40)));
            }
        }
        args
    }

    fn sortable(&mut self, table: &'a Table) -> &'a Column {
        loop {
            let column = self.comparable(table);
            if !matches!(column.kind, Kind::Json | Kind::Ints) {
                return column;
            }
        }
    }

    fn comparable(&mut self, table: &'a Table) -> &'a Column {
        loop {
            let column = self.random.pick(&table.columns);
            if column.kind != Kind::Opaque {
                return column;
            }
        }
    }

    fn direction(&mut self) -> Value {
        let words = [
            "asc",
            "desc",
            "asc_nulls_first",
            "asc_nulls_last",
            "desc_nulls_first",
            "desc_nulls_last",
        ];
        let word = (*self.random.pick(&words)).to_owned();
        self.value("order_by", Node::Word(word), 10)
    }

    fn order_by(&mut self, table: &'a Table, distinct: &[&'static str]) -> Value {
        let ty = format!("{}_order_by", table.name);
        let mut entries: Vec<(String, Value)> = Vec::new();
        let mut first: Vec<&str> = distinct.to_vec();
        if self.random.chance(50) {
            first.reverse();
        }
        for name in first {
            entries.push((name.to_owned(), self.direction()));
        }
        for _ in 0..self.random.below(3) {
            let entry = self.order_entry(table, 2);
            entries.push(entry);
        }
        for name in &table.key {
            entries.push(((*name).to_owned(), self.direction()));
        }
        // One object cannot hold a name twice.
        let unique = {
            let mut names: Vec<&String> = entries.iter().map(|(name, _)| name).collect();
            names.sort();
            names.windows(2).all(|pair| pair[0] != pair[1])
        };
        let node = if unique && self.random.chance(40) {
            Node::Object(entries)
        } else {
            Node::List(
                entries
                    .into_iter()
                    .map(|entry| self.value(ty.clone(), Node::Object(vec![entry]), 8))
                    .collect(),
            )
        };
        self.value(format!("[{ty}!]"), node, 20)
    }

    fn order_entry(&mut self, table: &'a Table, depth: usize) -> (String, Value) {
        let objects: Vec<_> = table.relations.iter().filter(|r| !r.many).collect();
        if depth > 0 && !objects.is_empty() && self.random.chance(40) {
            let relation = *self.random.pick(&objects);
            let target = &self.model[relation.target];
            let mut entries = vec![self.order_entry(target, depth - 1)];
            if self.random.chance(30) {
                let more = self.order_entry(target, depth - 1);
                if more.0 != entries[0].0 {
                    entries.push(more);
                }
            }
            let ty = format!("{}_order_by", target.name);
            return (relation.name.to_owned(), self.value(ty, Node::Object(entries), 10));
        }
        let lists: Vec<_> = table.relations.iter().filter(|r| r.many).collect();
        if !lists.is_empty() && self.random.chance(25) {
            let relation = *self.random.pick(&lists);
            let target = &self.model[relation.target];
            let fit: Vec<&Column> =
                target.columns.iter().filter(|column| column.kind.takes("max")).collect();
            let entry = if self.random.chance(50) || fit.is_empty() {
                ("count".to_owned(), self.direction())
            } else {
                let name = *self.random.pick(&["max", "min"]);
                let column = self.random.pick(&fit).name.to_owned();
                let ty = format!("{}_{name}_order_by", target.name);
                let inner = Node::Object(vec![(column, self.direction())]);
                (name.to_owned(), self.value(ty, inner, 10))
            };
            let ty = format!("{}_aggregate_order_by", target.name);
            let value = self.value(ty, Node::Object(vec![entry]), 10);
            return (format!("{}_aggregate", relation.name), value);
        }
        (self.sortable(table).name.to_owned(), self.direction())
    }

    fn filter(&mut self, table: &'a Table, depth: usize) -> Value {
        let ty = format!("{}_bool_exp", table.name);
        let mut entries: Vec<(String, Value)> = Vec::new();
        // Rarely none: `{}` holds for every row.
        for _ in 0..(1 + self.random.below(2)).saturating_sub(usize::from(self.random.chance(6))) {
            let (name, value) = match self.random.below(10) {
                0 | 1 if depth > 0 => {
                    let name = if self.random.chance(50) { "_and" } else { "_or" };
                    let n = self.random.below(4);
                    let parts = (0..n).map(|_| self.filter(table, depth - 1)).collect();
                    let list = self.value(format!("[{ty}!]"), Node::List(parts), 10);
                    (name.to_owned(), list)
                }
                2 | 3 if depth > 0 => ("_not".to_owned(), self.filter(table, depth - 1)),
                4 | 5 if depth > 0 && !table.relations.is_empty() => {
                    let relation = self.random.pick(&table.relations);
                    let target = &self.model[relation.target];
                    if relation.many && self.random.chance(40) {
                        (format!("{}_aggregate", relation.name), self.counted(target, depth - 1))
                    } else {
                        (relation.name.to_owned(), self.filter(target, depth - 1))
                    }
                }
                _ => {
                    let column = self.comparable(table);
                    (column.name.to_owned(), self.comparison(table, column))
                }
            };
            if !entries.iter().any(|(seen, _)| *seen == name) {
                entries.push((name, value));
            }
        }
        self.value(ty, Node::Object(entries), 12)
    }

    /// `{count: {…}}`
    fn counted(&mut self, table: &'a Table, depth: usize) -> Value {
        let mut entries = Vec::new();
        if self.random.chance(50) {
            let columns: Vec<&'static str> =
                (0..1 + self.random.below(2)).map(|_| self.sortable(table).name).collect();
            entries.push(("arguments".to_owned(), self.columns(table, &columns)));
        }
        if self.random.chance(40) {
            let distinct = Node::Leaf(self.random.chance(70).to_string());
            entries.push(("distinct".to_owned(), self.value("Boolean", distinct, 20)));
        }
        if self.random.chance(40) {
            entries.push(("filter".to_owned(), self.filter(table, depth)));
        }
        let op = *self.random.pick(&["_eq", "_neq", "_gt", "_gte", "_lt", "_lte"]);
        let n = Node::Leaf(self.random.below(4).to_string());
        let compared = Node::Object(vec![(op.to_owned(), self.value("Int", n, 30))]);
        entries.push(("predicate".to_owned(), self.value("Int_comparison_exp", compared, 0)));
        let ty = format!("{}_aggregate_bool_exp", table.name);
        let count = self.value(format!("{ty}_count"), Node::Object(entries), 10);
        self.value(ty, Node::Object(vec![("count".to_owned(), count)]), 10)
    }

    fn comparison(&mut self, table: &'a Table, column: &'a Column) -> Value {
        let mut entries: Vec<(String, Value)> = Vec::new();
        for _ in 0..1 + usize::from(self.random.chance(15)) {
            let (name, value) = match self.random.below(10) {
                0 => {
                    let value = Node::Leaf(self.random.chance(50).to_string());
                    ("_is_null", self.value("Boolean", value, 30))
                }
                _ if column.kind == Kind::Json => self.json_comparison(table, column),
                _ if column.kind == Kind::Ints => {
                    let names = ["_eq", "_neq", "_contains", "_contained_in"];
                    let name = *self.random.pick(&names);
                    let all: Vec<String> = if self.random.chance(50) {
                        (0..self.random.below(4))
                            .map(|_| self.random.below(5).to_string())
                            .collect()
                    } else {
                        let known = self.known(table, column);
                        serde_json::from_str::<Vec<Option<i64>>>(self.random.pick::<String>(known))
                            .unwrap()
                            .into_iter()
                            .flatten()
                            .map(|n| n.to_string())
                            .collect()
                    };
                    let list = Node::Leaf(format!("[{}]", all.join(", ")));
                    (name, self.value(column.scalar, list, 40))
                }
                1 | 2 => {
                    let n = self.random.below(5);
                    let items = (0..n).map(|_| self.operand(table, column)).collect();
                    let name = if self.random.chance(60) { "_in" } else { "_nin" };
                    (name, self.value(format!("[{}!]", column.scalar), Node::List(items), 40))
                }
                3..=5 if column.kind == Kind::Text => {
                    let names = ["_like", "_nlike", "_ilike", "_nilike", "_similar", "_nsimilar"];
                    if self.random.chance(30) {
                        let names = ["_regex", "_nregex", "_iregex", "_niregex"];
                        let name = *self.random.pick(&names);
                        let pattern = self.regex(table, column);
                        let value = self.value(column.scalar, Node::Leaf(pattern), 40);
                        if !entries.iter().any(|(seen, _)| seen == name) {
                            entries.push((name.to_owned(), value));
                        }
                        continue;
                    }
                    let name = *self.random.pick(&names);
                    let pattern = self.pattern(table, column, name.contains("similar"));
                    (name, self.value(column.scalar, Node::Leaf(pattern), 40))
                }
                _ => {
                    let names = ["_eq", "_eq", "_neq", "_gt", "_gte", "_lt", "_lte"];
                    (*self.random.pick(&names), self.operand(table, column))
                }
            };
            if !entries.iter().any(|(seen, _)| seen == name) {
                entries.push((name.to_owned(), value));
            }
        }
        self.value(format!("{}_comparison_exp", column.scalar), Node::Object(entries), 10)
    }

    fn json_comparison(&mut self, table: &'a Table, column: &Column) -> (&'static str, Value) {
        let keys = ["a", "b", "c", "x", "y"];
        match self.random.below(6) {
            0 => {
                let key = format!("\"{}\"", self.random.pick::<&str>(&keys));
                ("_has_key", self.value("String", Node::Leaf(key), 30))
            }
            1 => {
                let some = (0..self.random.below(3))
                    .map(|_| {
                        let key = format!("\"{}\"", self.random.pick::<&str>(&keys));
                        self.value("String", Node::Leaf(key), 20)
                    })
                    .collect();
                let name = *self.random.pick(&["_has_keys_any", "_has_keys_all"]);
                (name, self.value("[String!]", Node::List(some), 30))
            }
            2 => {
                let pattern = self.pattern(table, column, false);
                let like = self.value("String", Node::Leaf(pattern), 30);
                let name = *self.random.pick(&["_like", "_nlike", "_eq"]);
                let text = Node::Object(vec![(name.to_owned(), like)]);
                let text = self.value("String_comparison_exp", text, 0);
                let cast = Node::Object(vec![("String".to_owned(), text)]);
                ("_cast", self.value("jsonb_cast_exp", cast, 10))
            }
            _ => {
                let names = ["_eq", "_neq", "_contains", "_contains", "_contained_in"];
                let name = *self.random.pick(&names);
                let parts =
                    ["{}", "[]", "[1]", "{\"a\": 1}", "{\"b\": {\"c\": [2]}}", "\"text\"", "1"];
                let text = if self.random.chance(50) {
                    self.random.pick(self.known(table, column)).clone()
                } else {
                    (*self.random.pick::<&str>(&parts)).to_owned()
                };
                // JSON is no literal of GraphQL.
                (name, Value { ty: "jsonb".to_owned(), node: Node::Leaf(text), variable: true })
            }
        }
    }

    /// A regular expression of plain characters, dots and anchors.
    fn regex(&mut self, table: &Table, column: &Column) -> String {
        let known = self.known(table, column);
        let whole: String = if known.is_empty() {
            "abc".to_owned()
        } else {
            serde_json::from_str(self.random.pick::<String>(known).as_str()).unwrap()
        };
        let chars: Vec<char> = whole.chars().collect();
        let start = if self.random.chance(50) { 0 } else { self.random.below(chars.len()) };
        let mut out = if self.random.chance(40) { "^".to_owned() } else { String::new() };
        for c in chars.iter().skip(start).take(1 + self.random.below(5)) {
            if self.random.chance(15) || !(c.is_alphanumeric() || *c == ' ') {
                out.push('.');
            } else if self.random.chance(10) {
                out.extend(c.to_uppercase().take(1));
            } else {
                out.push(*c);
            }
        }
        if self.random.chance(25) {
            out.push('$');
        }
        serde_json::to_string(&out).unwrap()
    }

    fn known(&self, table: &Table, column: &Column) -> &'a [String] {
        &self.known[table.name].column(column.name).expect("a column").known
    }

    fn operand(&mut self, table: &Table, column: &Column) -> Value {
        let known = self.known(table, column);
        let text = if !known.is_empty() && self.random.chance(85) {
            self.random.pick(known).clone()
        } else {
            match column.kind {
                Kind::Int => (i64::try_from(self.random.below(60)).unwrap() - 5).to_string(),
                Kind::Decimal => format!("{}.{}", self.random.below(9), self.random.below(99)),
                Kind::Bool => self.random.chance(50).to_string(),
                Kind::Label => format!("\"{}\"", self.random.pick::<&str>(&LABELS)),
                Kind::Plain => match column.scalar {
                    "uuid" => "\"00000000-0000-4000-8000-000000000000\"".to_owned(),
                    "date" => format!("\"2024-01-0{}\"", 1 + self.random.below(9)),
                    _ => "\"2024-01-01T02:30:00+00:00\"".to_owned(),
                },
                Kind::Text | Kind::Json | Kind::Ints | Kind::Opaque => {
                    let texts =
                        ["", "a", "Write", "it's \"odd\" \\ $1 -- '); select", "Ü", "\u{1f600}"];
                    serde_json::to_string(*self.random.pick::<&str>(&texts)).unwrap()
                }
            }
        };
        self.value(column.scalar, Node::Leaf(text), 30)
    }

    /// A pattern of LIKE; for SIMILAR TO without what it gives another meaning.
    fn pattern(&mut self, table: &Table, column: &Column, similar: bool) -> String {
        let known = self.known(table, column);
        let whole: String = if known.is_empty() {
            "abc".to_owned()
        } else if column.kind == Kind::Json {
            self.random.pick(known).clone()
        } else {
            serde_json::from_str(self.random.pick::<String>(known).as_str()).unwrap()
        };
        let mut out = String::new();
        for c in whole.chars() {
            match self.random.below(12) {
                0 => out.push('%'),
                1 => out.push('_'),
                2 if c.is_ascii_alphabetic() && c.is_lowercase() => {
                    out.push(c.to_ascii_uppercase())
                }
                _ if matches!(c, '%' | '_' | '\\') && self.random.chance(70) => {
                    out.push('\\');
                    out.push(c);
                }
                _ if c == '\\' => out.push_str("\\\\"),
                _ => out.push(c),
            }
            if self.random.chance(12) {
                out.push('%');
                break;
            }
        }
        if similar {
            out.retain(|c| c.is_alphanumeric() || matches!(c, '%' | '_' | ' '));
        }
        serde_json::to_string(&out).unwrap()
    }
}

fn typename() -> Item {
    plain("__typename", Vec::new())
}

fn plain(name: &str, items: Vec<Item>) -> Item {
    Item::Field(Field {
        alias: None,
        name: name.to_owned(),
        args: Vec::new(),
        items,
        condition: None,
    })
}

impl Value {
    pub fn json(&self) -> String {
        match &self.node {
            Node::Object(entries) => {
                let all: Vec<String> = entries
                    .iter()
                    .map(|(name, value)| format!("\"{name}\": {}", value.json()))
                    .collect();
                format!("{{{}}}", all.join(", "))
            }
            Node::List(items) => {
                let all: Vec<String> = items.iter().map(Value::json).collect();
                format!("[{}]", all.join(", "))
            }
            Node::Leaf(text) => text.clone(),
            Node::Word(word) => format!("\"{word}\""),
        }
    }

    /// Drops the n-th part that can go; counts down.
    fn prune(&mut self, n: &mut usize, keep_last: bool) -> bool {
        match &mut self.node {
            Node::Object(entries) => {
                for index in 0..entries.len() {
                    if !(keep_last && index + 1 == entries.len()) && hit(n) {
                        entries.remove(index);
                        return true;
                    }
                }
                entries.iter_mut().any(|(_, value)| value.prune(n, keep_last))
            }
            Node::List(items) => {
                for index in 0..items.len() {
                    if !(keep_last && index + 1 == items.len()) && hit(n) {
                        items.remove(index);
                        return true;
                    }
                }
                items.iter_mut().any(|value| value.prune(n, keep_last))
            }
            Node::Leaf(_) | Node::Word(_) => {
                if self.variable && self.ty != "jsonb" && hit(n) {
                    self.variable = false;
                    return true;
                }
                false
            }
        }
    }
}

fn hit(n: &mut usize) -> bool {
    if *n == 0 {
        return true;
    }
    *n -= 1;
    false
}

fn prune_items(items: &mut Vec<Item>, n: &mut usize) -> bool {
    for index in 0..items.len() {
        if items.len() > 1 && hit(n) {
            items.remove(index);
            return true;
        }
    }
    items.iter_mut().any(|item| match item {
        Item::Field(field) => {
            for index in 0..field.args.len() {
                let name = field.args[index].0.as_str();
                if matches!(name, "where" | "limit" | "offset" | "distinct_on") && hit(n) {
                    field.args.remove(index);
                    return true;
                }
            }
            if field.condition.is_some() && hit(n) {
                field.condition = None;
                return true;
            }
            // The last of an order is the key.
            field
                .args
                .iter_mut()
                .any(|(name, value)| value.prune(n, matches!(name.as_str(), "order_by" | "by")))
                || prune_items(&mut field.items, n)
        }
        Item::Inline { items, condition, .. } => {
            if condition.is_some() && hit(n) {
                *condition = None;
                return true;
            }
            prune_items(items, n)
        }
        Item::Spread { condition, .. } => {
            if condition.is_some() && hit(n) {
                *condition = None;
                return true;
            }
            false
        }
    })
}

impl Operation {
    /// Drops the n-th part that can go; false when there are not so many.
    pub fn prune(&mut self, mut n: usize) -> bool {
        prune_items(&mut self.roots, &mut n)
            || self.fragments.iter_mut().any(|fragment| prune_items(&mut fragment.items, &mut n))
    }

    /// The document and its variables.
    pub fn render(&self) -> (String, String) {
        let mut writer = Writer::default();
        writer.items(&self.roots);
        let mut reached: Vec<usize> = Vec::new();
        fn spreads(items: &[Item], operation: &Operation, out: &mut Vec<usize>) {
            for item in items {
                match item {
                    Item::Field(field) => spreads(&field.items, operation, out),
                    Item::Inline { items, .. } => spreads(items, operation, out),
                    Item::Spread { fragment, .. } => {
                        if !out.contains(fragment) {
                            out.push(*fragment);
                            spreads(&operation.fragments[*fragment].items, operation, out);
                        }
                    }
                }
            }
        }
        spreads(&self.roots, self, &mut reached);
        for n in reached {
            let fragment = &self.fragments[n];
            writer.out.push_str(&format!("\nfragment F{n} on {} ", fragment.on));
            writer.items(&fragment.items);
        }
        let declared = if writer.declared.is_empty() {
            String::new()
        } else {
            format!("({})", writer.declared.join(", "))
        };
        (
            format!("query Generated{declared} {}", writer.out),
            format!("{{{}}}", writer.given.join(", ")),
        )
    }
}

#[derive(Default)]
struct Writer {
    out: String,
    declared: Vec<String>,
    given: Vec<String>,
}

impl Writer {
    fn items(&mut self, items: &[Item]) {
        self.out.push_str("{ ");
        for item in items {
            match item {
                Item::Field(field) => {
                    if let Some(alias) = &field.alias {
                        self.out.push_str(&format!("{alias}: "));
                    }
                    self.out.push_str(&field.name);
                    for (index, (name, value)) in field.args.iter().enumerate() {
                        self.out.push_str(if index == 0 { "(" } else { ", " });
                        self.out.push_str(&format!("{name}: "));
                        self.value(value, field.name.ends_with("_by_pk") || name == "by");
                    }
                    if !field.args.is_empty() {
                        self.out.push(')');
                    }
                    self.condition(field.condition.as_ref());
                    if !field.items.is_empty() {
                        self.out.push(' ');
                        self.items(&field.items);
                    }
                }
                Item::Inline { on, condition, items } => {
                    self.out.push_str("...");
                    if let Some(on) = on {
                        self.out.push_str(&format!(" on {on}"));
                    }
                    self.condition(condition.as_ref());
                    self.out.push(' ');
                    self.items(items);
                }
                Item::Spread { fragment, condition } => {
                    self.out.push_str(&format!("...F{fragment}"));
                    self.condition(condition.as_ref());
                }
            }
            self.out.push(' ');
        }
        self.out.push('}');
    }

    fn condition(&mut self, condition: Option<&Condition>) {
        let Some(condition) = condition else { return };
        let name = if condition.skip { "skip" } else { "include" };
        self.out.push_str(&format!(" @{name}(if: "));
        let node = Node::Leaf(condition.value.to_string());
        let ty = "Boolean".to_owned();
        self.value(&Value { ty, node, variable: condition.variable }, true);
        self.out.push(')');
    }

    /// `required`: null may not stand here.
    fn value(&mut self, value: &Value, required: bool) {
        if value.variable {
            let n = self.declared.len();
            let json = value.json();
            let simple = matches!(value.node, Node::Leaf(_)) && json != "null";
            self.out.push_str(&format!("$v{n}"));
            // By turns with a default, nullable and non-null.
            if simple && n % 5 == 4 {
                self.declared.push(format!("$v{n}: {} = {json}", value.ty));
                return;
            }
            let bang = if required || (json != "null" && n % 2 == 1) { "!" } else { "" };
            self.declared.push(format!("$v{n}: {}{bang}", value.ty));
            self.given.push(format!("\"v{n}\": {json}"));
            return;
        }
        match &value.node {
            Node::Object(entries) => {
                self.out.push('{');
                for (index, (name, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        self.out.push_str(", ");
                    }
                    self.out.push_str(&format!("{name}: "));
                    self.value(value, false);
                }
                self.out.push('}');
            }
            Node::List(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.out.push_str(", ");
                    }
                    self.value(item, true);
                }
                self.out.push(']');
            }
            Node::Leaf(text) | Node::Word(text) => self.out.push_str(text),
        }
    }
}
