//! Operations from a seed, and their documents.

use super::model::{Column, Model, STATISTICS, Table};
use super::operands::operators;

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
    /// A scalar of JSON or a list of such, which is also a literal of GraphQL.
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
    pub(super) random: Random,
    /// What the caller sees.
    pub(super) model: &'a Model,
    /// Values of all rows.
    pub(super) known: &'a Model,
    fragments: Vec<Fragment>,
    aliases: usize,
}

impl<'a> Generator<'a> {
    pub fn new(seed: u64, model: &'a Model, known: &'a Model) -> Self {
        Generator { random: Random::new(seed), model, known, fragments: Vec::new(), aliases: 0 }
    }

    /// With the `turn`-th part of the tour of all operators, unless there is none.
    pub fn operation(mut self, turn: Option<usize>) -> Operation {
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
        if let Some(turn) = turn {
            roots.extend(self.tour(turn));
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

    pub(super) fn alias(&mut self) -> Option<String> {
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

    pub(super) fn value(&mut self, ty: impl Into<String>, node: Node, percent: usize) -> Value {
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
            let column = self.random.pick(&table.columns);
            if column.kind.sorts() {
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

    pub(super) fn order_by(&mut self, table: &'a Table, distinct: &[&'static str]) -> Value {
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

    pub(super) fn filter(&mut self, table: &'a Table, depth: usize) -> Value {
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
                        (format!("{}_aggregate", relation.name), self.aggregated(target, depth - 1))
                    } else {
                        (relation.name.to_owned(), self.filter(target, depth - 1))
                    }
                }
                _ => {
                    let column = self.random.pick(&table.columns);
                    (column.name.to_owned(), self.comparison(table, column))
                }
            };
            if !entries.iter().any(|(seen, _)| *seen == name) {
                entries.push((name, value));
            }
        }
        self.value(ty, Node::Object(entries), 12)
    }

    /// `{count: {…}}` and the like.
    fn aggregated(&mut self, table: &'a Table, depth: usize) -> Value {
        let some: Vec<&str> = table.conditions();
        let function = if self.random.chance(50) { *self.random.pick(&some) } else { "count" };
        self.condition_of(table, function, depth, false)
    }

    /// A `whole` one has all that it may have.
    pub(super) fn condition_of(
        &mut self,
        table: &'a Table,
        function: &str,
        depth: usize,
        whole: bool,
    ) -> Value {
        let ty = format!("{}_aggregate_bool_exp", table.name);
        let inner = format!("{ty}_{function}");
        let mut entries = Vec::new();
        let compared = match function {
            "count" => {
                if whole || self.random.chance(50) {
                    let columns: Vec<&'static str> =
                        (0..1 + self.random.below(2)).map(|_| self.sortable(table).name).collect();
                    entries.push(("arguments".to_owned(), self.columns(table, &columns)));
                }
                let op = *self.random.pick(&["_eq", "_neq", "_gt", "_gte", "_lt", "_lte"]);
                let n = Node::Leaf(self.random.below(4).to_string());
                let compared = Node::Object(vec![(op.to_owned(), self.value("Int", n, 30))]);
                self.value("Int_comparison_exp", compared, 0)
            }
            _ => {
                let of = if function.starts_with("bool") { "Boolean" } else { "float8" };
                let words = format!("{}_select_column_{inner}_arguments_columns", table.name);
                let fit: Vec<&Column> = table.columns.iter().filter(|c| c.scalar == of).collect();
                let column = |own: &mut Self| {
                    let name = own.random.pick(&fit).name.to_owned();
                    own.value(words.clone(), Node::Word(name), 15)
                };
                let arguments = if CONDITIONS_OF_PAIRS.contains(&function) {
                    let pair = vec![("X".to_owned(), column(self)), ("Y".to_owned(), column(self))];
                    self.value(format!("{inner}_arguments"), Node::Object(pair), 15)
                } else {
                    column(self)
                };
                entries.push(("arguments".to_owned(), arguments));
                // What is no sum of a few digits depends on the order of the rows.
                let exact = matches!(function, "bool_and" | "bool_or" | "max" | "min" | "sum");
                let ops = if exact { operators(of) } else { vec!["_gt", "_lte", "_is_null"] };
                let op = *self.random.pick(&ops);
                let right = |own: &mut Self| {
                    let text = match of {
                        "Boolean" => own.random.chance(50).to_string(),
                        _ if exact => format!("{}", own.random.below(12) as f64 * 0.25),
                        _ => format!("{}.31", own.random.below(3)),
                    };
                    own.value(of, Node::Leaf(text), 30)
                };
                let right = match op {
                    "_is_null" => {
                        let word = self.random.chance(50).to_string();
                        self.value("Boolean", Node::Leaf(word), 30)
                    }
                    "_in" | "_nin" => {
                        let n = self.random.below(4);
                        let items = (0..n).map(|_| right(self)).collect();
                        self.value(format!("[{of}!]"), Node::List(items), 30)
                    }
                    _ => right(self),
                };
                let compared = Node::Object(vec![(op.to_owned(), right)]);
                self.value(format!("{of}_comparison_exp"), compared, 10)
            }
        };
        if whole || self.random.chance(40) {
            let distinct = Node::Leaf(self.random.chance(70).to_string());
            entries.push(("distinct".to_owned(), self.value("Boolean", distinct, 20)));
        }
        if whole || self.random.chance(40) {
            entries.push(("filter".to_owned(), self.filter(table, depth)));
        }
        entries.push(("predicate".to_owned(), compared));
        let inner = self.value(inner, Node::Object(entries), 10);
        self.value(ty, Node::Object(vec![(function.to_owned(), inner)]), 10)
    }
}

/// Conditions on aggregates of one column and of two.
const CONDITIONS: [&str; 8] =
    ["avg", "bool_and", "bool_or", "max", "min", "stddev_samp", "sum", "var_samp"];
const CONDITIONS_OF_PAIRS: [&str; 2] = ["corr", "covar_samp"];

impl Table {
    /// The aggregates that a condition may be about.
    pub(super) fn conditions(&self) -> Vec<&'static str> {
        let has = |scalar| self.columns.iter().any(|column| column.scalar == scalar);
        let of = |function: &&str| match function.starts_with("bool") {
            true => has("Boolean"),
            false => has("float8"),
        };
        let some = CONDITIONS.into_iter().chain(CONDITIONS_OF_PAIRS).filter(of);
        std::iter::once("count").chain(some).collect()
    }
}

fn typename() -> Item {
    plain("__typename", Vec::new())
}

pub(super) fn plain(name: &str, items: Vec<Item>) -> Item {
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

    /// Whether a part of it would be something else.
    fn is_whole(&self) -> bool {
        matches!(self.ty.as_str(), "geometry" | "geography" | "jsonb")
            || self.ty.ends_with("_input")
            || self.ty.ends_with("_arguments")
    }

    /// Drops the n-th part that can go; counts down.
    fn prune(&mut self, n: &mut usize, keep_last: bool) -> bool {
        // A place without a part is none, and so is a distance.
        if self.is_whole() && !matches!(self.node, Node::Leaf(_)) {
            let was = std::mem::take(&mut self.variable);
            let spelled = was && hit(n);
            self.variable = was && !spelled;
            return spelled;
        }
        match &mut self.node {
            Node::Object(entries) => {
                for index in 0..entries.len() {
                    // One condition on one aggregate needs all that it has.
                    let needed = self.ty.ends_with("_aggregate_bool_exp")
                        || self.ty.ends_with("_cast_exp")
                        || matches!(entries[index].0.as_str(), "predicate" | "arguments")
                        || keep_last && index + 1 == entries.len();
                    if !needed && hit(n) {
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
                if self.variable && hit(n) {
                    self.variable = false;
                    return true;
                }
                false
            }
        }
    }
}

/// Whether a field of an input object may not be null.
fn is_required(ty: &str, field: &str) -> bool {
    match field {
        "predicate" | "X" | "Y" | "distance" | "from" | "geommin" => true,
        "arguments" => !ty.ends_with("_count"),
        "nband" => ty == "st_intersects_nband_geom_input",
        _ => false,
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
                for (index, (name, part)) in entries.iter().enumerate() {
                    if index > 0 {
                        self.out.push_str(", ");
                    }
                    self.out.push_str(&format!("{name}: "));
                    self.value(part, is_required(&value.ty, name));
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
