//! The operations of a caller, one after the other, go round all operators and
//! all conditions on aggregates: whatever comes at random, none is left out.

use super::generate::{Field, Generator, Item, Node, Value, plain};
use super::model::{Column, Model, Relation, Table};
use super::operands::operators;

/// How many operators one operation visits beside what it is about.
const STOPS: usize = 4;

const TAKES_PARTS: [&str; 5] = [
    "_st_d_within",
    "_st_3d_d_within",
    "_st_intersects_nband_geom",
    "_st_intersects_geom_nband",
    "_cast",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// By the scalar.
    Operator(&'static str, &'static str),
    Aggregate(&'static str),
}

fn relations(model: &Model) -> impl Iterator<Item = (&Table, &Relation)> {
    model.values().flat_map(|table| table.relations.iter().map(move |relation| (table, relation)))
}

/// All that a caller can compare by.
fn stops(model: &Model) -> Vec<Stop> {
    let mut out = Vec::new();
    let columns = model.values().flat_map(|table| &table.columns);
    let operators = columns.flat_map(|column| {
        operators(column.scalar).into_iter().map(|op| Stop::Operator(column.scalar, op))
    });
    let targets = relations(model).filter(|(_, relation)| relation.many);
    let aggregates =
        targets.flat_map(|(_, relation)| model[relation.target].conditions()).map(Stop::Aggregate);
    for stop in operators.chain(aggregates) {
        if !out.contains(&stop) {
            out.push(stop);
        }
    }
    // What takes several values has more to say.
    let rich: Vec<Stop> = out
        .iter()
        .filter(|stop| matches!(stop, Stop::Operator(_, op) if TAKES_PARTS.contains(op)))
        .copied()
        .collect();
    for _ in 0..3 {
        out.extend_from_slice(&rich);
    }
    out
}

/// How many operations see all of them.
pub fn whole_tour(model: &Model) -> usize {
    stops(model).len().div_ceil(STOPS)
}

impl<'a> Generator<'a> {
    /// Lists of which each is about one operator or one condition on an
    /// aggregate, in some place: the `turn`-th few of all that there are.
    pub(super) fn tour(&mut self, turn: usize) -> Vec<Item> {
        let stops = stops(self.model);
        (0..STOPS)
            .map(|n| {
                let stop = stops[(turn * STOPS + n) % stops.len()];
                self.visit(stop)
            })
            .collect()
    }

    fn visit(&mut self, stop: Stop) -> Item {
        let model = self.model;
        match stop {
            Stop::Operator(scalar, op) => {
                let fit: Vec<(&'a Table, &'a Column)> = model
                    .values()
                    .flat_map(|table| table.columns.iter().map(move |column| (table, column)))
                    .filter(|(_, column)| column.scalar == scalar)
                    .collect();
                let (table, column) = *self.random.pick(&fit);
                let compared =
                    |own: &mut Self| (column.name.to_owned(), own.compared(table, column, &[op]));
                let mut entry = compared(self);
                // With two values it is likelier to hold for some rows and not for others.
                if self.random.chance(70) {
                    let ty = format!("{}_bool_exp", table.name);
                    let other = compared(self);
                    let parts =
                        [entry, other].map(|entry| self.value(&ty, Node::Object(vec![entry]), 10));
                    let list = self.value(format!("[{ty}!]"), Node::List(parts.into()), 10);
                    entry = ("_or".to_owned(), list);
                }
                self.somewhere(table, entry)
            }
            Stop::Aggregate(function) => {
                let fit: Vec<(&'a Table, &'a Relation)> = relations(model)
                    .filter(|(_, r)| r.many && model[r.target].conditions().contains(&function))
                    .collect();
                let (table, relation) = *self.random.pick(&fit);
                let condition = self.condition_of(&model[relation.target], function, 1, true);
                self.somewhere(table, (format!("{}_aggregate", relation.name), condition))
            }
        }
    }

    /// A list that a condition decides of, wherever it stands in the whole.
    fn somewhere(&mut self, table: &'a Table, entry: (String, Value)) -> Item {
        let model = self.model;
        let exp = |table: &Table| format!("{}_bool_exp", table.name);
        let inner = self.value(exp(table), Node::Object(vec![entry]), 20);
        let leading: Vec<(&'a Table, &'a Relation)> =
            relations(model).filter(|(_, relation)| relation.target == table.name).collect();
        let (root, entry) = match self.random.below(8) {
            0 | 1 if !leading.is_empty() => {
                let (from, relation) = *self.random.pick(&leading);
                (from, (relation.name.to_owned(), inner))
            }
            2 if leading.iter().any(|(_, relation)| relation.many) => {
                let (from, relation) = loop {
                    let found = *self.random.pick(&leading);
                    if found.1.many {
                        break found;
                    }
                };
                let least = Node::Leaf("1".to_owned());
                let least = Node::Object(vec![("_gte".to_owned(), self.value("Int", least, 20))]);
                let counted = vec![
                    ("filter".to_owned(), inner),
                    ("predicate".to_owned(), self.value("Int_comparison_exp", least, 10)),
                ];
                let ty = format!("{}_aggregate_bool_exp", table.name);
                let count = self.value(format!("{ty}_count"), Node::Object(counted), 10);
                let counts = self.value(ty, Node::Object(vec![("count".to_owned(), count)]), 10);
                (from, (format!("{}_aggregate", relation.name), counts))
            }
            3 => (table, ("_not".to_owned(), inner)),
            n @ (4 | 5) => {
                let name = if n == 4 { "_and" } else { "_or" };
                let mut parts = vec![inner];
                if self.random.chance(60) {
                    parts.push(self.filter(table, 1));
                }
                let list = self.value(format!("[{}!]", exp(table)), Node::List(parts), 15);
                (table, (name.to_owned(), list))
            }
            _ => {
                let list = self.value(format!("[{}!]", exp(table)), Node::List(vec![inner]), 0);
                (table, ("_and".to_owned(), list))
            }
        };
        let mut filter = self.value(exp(root), Node::Object(vec![entry]), 20);
        if self.random.chance(20) {
            filter = self.value(exp(root), Node::Object(vec![("_not".to_owned(), filter)]), 15);
        }
        let args =
            vec![("where".to_owned(), filter), ("order_by".to_owned(), self.order_by(root, &[]))];
        let items = root.key.iter().map(|name| plain(name, Vec::new())).collect();
        let alias = self.alias();
        Item::Field(Field { alias, name: root.name.to_owned(), args, items, condition: None })
    }
}
