//! The groups of one table, and which of them a row concerns.
//!
//! A group may say which values some columns of a row must have to concern it.
//! Of a row as it was, the log may not tell all of these. Such a row is a
//! *doubt*: it may have been in the answer of every group whose other columns
//! fit. A group that tells which rows it shows settles that by the row's key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::keys::{KeyKind, Value};
use super::shown::Shown;
use crate::catalog::model::Oid;

/// Columns that one group is told apart by.
const ROUTES: usize = 4;
/// Sets of columns that groups of one table are told apart by; further ones are
/// told apart by one column.
const SHAPES: usize = 32;
/// Groups that a doubt is told to at once.
const AT_ONCE: usize = 256;

/// A column and how its values compare.
pub(crate) type Column = (Arc<str>, KeyKind);

/// The rows of a table that concern a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Concern {
    /// What a row must satisfy, most telling first; without any, every row
    /// concerns the group.
    pub(crate) routes: Vec<Route>,
    /// The primary key, where the group tells which rows it shows and taking
    /// away another one does not change its answer; else empty.
    pub(crate) key: Vec<Column>,
}

/// Rows with one of these values in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) column: Arc<str>,
    pub(crate) kind: KeyKind,
    pub(crate) values: Vec<Value>,
}

/// What is known of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Unknown,
    Null,
    Value(Value),
}

/// A row before or after a change, as far as groups ask for its columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Image {
    /// The row as it was: it may have left an answer, and enters none.
    pub(super) was: bool,
    pub(super) cells: Box<[Cell]>,
}

/// The groups that a change concerns.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) certain: HashSet<u64>,
    pub(super) doubtful: HashSet<u64>,
    /// Groups to be told of a doubt later.
    pub(super) later: usize,
}

/// The groups of one table.
#[derive(Debug, Default)]
pub(super) struct Routes {
    shapes: Vec<Shape>,
    shape_of: HashMap<u64, usize>,
}

/// Groups that are told apart by the same columns.
#[derive(Debug)]
struct Shape {
    columns: Vec<Column>,
    key: Vec<Column>,
    /// With their values by column, sorted.
    groups: HashMap<u64, Vec<Vec<Value>>>,
    /// By column, as `columns`.
    by_value: Vec<HashMap<Value, HashSet<u64>>>,
    /// What was doubtful and is not told yet, with the transactions.
    doubts: HashMap<Image, Vec<u32>>,
}

/// What is known of a row in the columns of a shape.
enum Fit<'a> {
    /// Some of them are null, which equals nothing.
    Never,
    /// Every group may fit.
    Blank,
    /// Groups of this value in the column at this position may fit.
    By(usize, &'a Value),
}

impl Routes {
    pub(super) fn add(&mut self, id: u64, concern: &Concern) {
        let mut routes: Vec<&Route> = Vec::new();
        for route in &concern.routes {
            if routes.len() < ROUTES && routes.iter().all(|known| known.column != route.column) {
                routes.push(route);
            }
        }
        let found = match self.shape(&routes, &concern.key) {
            Some(at) => Some(at),
            None if self.shapes.iter().filter(|shape| shape.is_used()).count() >= SHAPES => {
                // The last one is what a policy wants, if one does.
                routes = routes.pop().into_iter().collect();
                self.shape(&routes, &concern.key)
            }
            None => None,
        };
        let at = found.unwrap_or_else(|| {
            let columns: Vec<Column> =
                routes.iter().map(|route| (route.column.clone(), route.kind)).collect();
            let shape = Shape {
                by_value: columns.iter().map(|_| HashMap::new()).collect(),
                columns,
                key: concern.key.clone(),
                groups: HashMap::new(),
                doubts: HashMap::new(),
            };
            let free = self.shapes.iter().position(|shape| !shape.is_used());
            match free.and_then(|at| Some((at, self.shapes.get_mut(at)?))) {
                Some((at, place)) => {
                    *place = shape;
                    at
                }
                None => {
                    self.shapes.push(shape);
                    self.shapes.len() - 1
                }
            }
        });
        let Some(shape) = self.shapes.get_mut(at) else { return };
        for (groups, route) in shape.by_value.iter_mut().zip(&routes) {
            for value in &route.values {
                groups.entry(value.clone()).or_default().insert(id);
            }
        }
        let sorted = |route: &Route| {
            let mut values = route.values.clone();
            values.sort_unstable();
            values
        };
        let values = routes.into_iter().map(sorted).collect();
        shape.groups.insert(id, values);
        self.shape_of.insert(id, at);
    }

    fn shape(&self, routes: &[&Route], key: &[Column]) -> Option<usize> {
        self.shapes.iter().position(|shape| {
            shape.key == key
                && shape.columns.len() == routes.len()
                && shape
                    .columns
                    .iter()
                    .zip(routes)
                    .all(|((column, kind), route)| *column == route.column && *kind == route.kind)
        })
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(shape) = self.shape_of.remove(&id).and_then(|at| self.shapes.get_mut(at)) else {
            return;
        };
        let Some(values) = shape.groups.remove(&id) else { return };
        for (groups, values) in shape.by_value.iter_mut().zip(&values) {
            for value in values {
                if let Some(of_value) = groups.get_mut(value) {
                    of_value.remove(&id);
                    if of_value.is_empty() {
                        groups.remove(value);
                    }
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shape_of.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = u64> {
        self.shape_of.keys().copied()
    }

    /// Columns that decide about groups; true for those that routes name.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&Column, bool)> {
        let shapes = self.shapes.iter().filter(|shape| {
            // Where every row matters, none is looked at.
            shape.is_used() && !shape.columns.is_empty()
        });
        shapes.flat_map(|shape| {
            let columns = shape.columns.iter().map(|column| (column, true));
            columns.chain(shape.key.iter().map(|column| (column, false)))
        })
    }

    /// Adds the groups that a row of this table concerns. `columns` are those of
    /// its cells.
    pub(super) fn concerned(
        &mut self,
        table: Oid,
        image: &Image,
        columns: &[Column],
        shown: &mut Shown,
        transaction: u32,
        found: &mut Found,
    ) {
        for shape in &mut self.shapes {
            let of = |column: &Column| {
                let at = columns.iter().position(|known| known == column);
                at.and_then(|at| image.cells.get(at)).unwrap_or(&Cell::Unknown)
            };
            let cells: Vec<&Cell> = shape.columns.iter().map(of).collect();
            if !cells.contains(&&Cell::Unknown) {
                shape.candidates(&cells, |id| {
                    found.certain.insert(id);
                });
                continue;
            }
            let key: Option<Vec<&Value>> = shape.key.iter().map(of).map(Cell::value).collect();
            if let Some(key) = key.filter(|key| image.was && !key.is_empty()) {
                let row = shown.ids.id(table, key);
                found.certain.extend(shown.groups(row).filter(|id| shape.fits(*id, &cells)));
                shown.doubt(transaction, row);
                continue;
            }
            let count = shape.count(&cells);
            // A group that tells its rows must know of what may have changed them.
            if count > AT_ONCE && shape.key.is_empty() {
                found.later += count;
                let cells = cells.into_iter().cloned().collect();
                let ids = shape.doubts.entry(Image { was: true, cells }).or_default();
                if ids.last() != Some(&transaction) {
                    ids.push(transaction);
                }
            } else {
                shape.candidates(&cells, |id| {
                    found.doubtful.insert(id);
                });
            }
        }
    }

    /// Gives each group with the transactions of the doubts that concern it and
    /// were not told yet.
    pub(super) fn tell(&mut self, mut told: impl FnMut(u64, &[u32])) {
        for shape in &mut self.shapes {
            for (image, transactions) in std::mem::take(&mut shape.doubts) {
                let cells: Vec<&Cell> = image.cells.iter().collect();
                shape.candidates(&cells, |id| told(id, &transactions));
            }
        }
    }
}

impl Cell {
    fn value(&self) -> Option<&Value> {
        match self {
            Cell::Value(value) => Some(value),
            Cell::Unknown | Cell::Null => None,
        }
    }
}

impl Shape {
    fn is_used(&self) -> bool {
        !self.groups.is_empty()
    }

    fn fit<'a>(&self, cells: &[&'a Cell]) -> Fit<'a> {
        if cells.contains(&&Cell::Null) {
            return Fit::Never;
        }
        let known = cells.iter().enumerate().find_map(|(at, cell)| Some((at, cell.value()?)));
        known.map_or(Fit::Blank, |(at, value)| Fit::By(at, value))
    }

    /// The groups that a row of these cells may concern.
    fn candidates(&self, cells: &[&Cell], mut each: impl FnMut(u64)) {
        match self.fit(cells) {
            Fit::Never => {}
            Fit::Blank => self.groups.keys().for_each(|id| each(*id)),
            Fit::By(at, value) => {
                let groups = self.by_value.get(at).and_then(|groups| groups.get(value));
                let fitting = groups.into_iter().flatten().filter(|id| self.fits(**id, cells));
                fitting.for_each(|id| each(*id));
            }
        }
    }

    /// How many groups that is at most.
    fn count(&self, cells: &[&Cell]) -> usize {
        match self.fit(cells) {
            Fit::Never => 0,
            Fit::Blank => self.groups.len(),
            Fit::By(at, value) => {
                let groups = self.by_value.get(at).and_then(|groups| groups.get(value));
                groups.map_or(0, HashSet::len)
            }
        }
    }

    fn fits(&self, id: u64, cells: &[&Cell]) -> bool {
        let Some(values) = self.groups.get(&id) else { return false };
        values.iter().zip(cells).all(|(values, cell)| match cell {
            Cell::Unknown => true,
            Cell::Null => false,
            Cell::Value(value) => values.binary_search(value).is_ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Oid = 1;

    fn column(name: &str) -> Column {
        (name.into(), KeyKind::Integer)
    }

    fn concern(routes: &[(&str, &[i64])], key: bool) -> Concern {
        let route = |(name, values): &(&str, &[i64])| Route {
            column: (*name).into(),
            kind: KeyKind::Integer,
            values: values.iter().copied().map(Value::Integer).collect(),
        };
        let key = if key { vec![column("id")] } else { Vec::new() };
        Concern { routes: routes.iter().map(route).collect(), key }
    }

    fn image(was: bool, cells: [Option<i64>; 3]) -> Image {
        let cell = |value: Option<i64>| match value {
            Some(0) => Cell::Null,
            Some(value) => Cell::Value(Value::Integer(value)),
            None => Cell::Unknown,
        };
        Image { was, cells: cells.map(cell).into() }
    }

    /// Who is certainly concerned by a row of (tenant, project, id), and who
    /// perhaps.
    fn found(routes: &mut Routes, shown: &mut Shown, image: &Image) -> (Vec<u64>, Vec<u64>) {
        let columns = [column("tenant"), column("project"), column("id")];
        let mut found = Found::default();
        routes.concerned(TABLE, image, &columns, shown, 7, &mut found);
        let mut certain: Vec<u64> = found.certain.into_iter().collect();
        let mut doubtful: Vec<u64> = found.doubtful.into_iter().collect();
        certain.sort_unstable();
        doubtful.sort_unstable();
        (certain, doubtful)
    }

    #[test]
    fn all_that_is_asked_for_must_fit() {
        let (mut routes, mut shown) = (Routes::default(), Shown::default());
        routes.add(1, &concern(&[("project", &[10]), ("tenant", &[1])], false));
        routes.add(2, &concern(&[("project", &[10, 11]), ("tenant", &[2])], false));
        routes.add(3, &concern(&[("tenant", &[1])], false));
        routes.add(4, &concern(&[], false));
        let mut found = |cells| found(&mut routes, &mut shown, &image(false, cells));
        assert_eq!(found([Some(1), Some(10), None]), (vec![1, 3, 4], vec![]));
        assert_eq!(found([Some(2), Some(11), None]), (vec![2, 4], vec![]));
        assert_eq!(found([Some(3), Some(10), None]), (vec![4], vec![]));
        assert_eq!(found([Some(0), Some(10), None]), (vec![4], vec![]));
        // What is known of a row decides as far as it goes.
        assert_eq!(found([Some(1), None, None]), (vec![3, 4], vec![1]));
        assert_eq!(found([None, Some(11), None]), (vec![4], vec![2, 3]));
        assert_eq!(found([Some(0), None, None]), (vec![4], vec![]));
        for id in 1..5 {
            routes.remove(id);
        }
        assert_eq!((routes.len(), routes.columns().count()), (0, 0));
        assert!(routes.shapes.iter().all(|shape| shape.by_value.iter().all(HashMap::is_empty)));
    }

    #[test]
    fn a_row_that_left_concerns_those_who_show_it() {
        let (mut routes, mut shown) = (Routes::default(), Shown::default());
        for id in 1..4 {
            routes.add(id, &concern(&[("tenant", &[1])], true));
        }
        routes.add(4, &concern(&[("tenant", &[2])], true));
        let ids = shown.ids.clone();
        let rows = |table, keys: &[i64]| {
            let key = |id: &i64| (table, vec![Value::Integer(*id)]);
            ids.of(&keys.iter().map(key).collect::<Vec<_>>())
        };
        assert!(shown.set(1, rows(TABLE, &[101, 100, 100])));
        assert!(shown.set(2, rows(TABLE, &[100])));
        assert!(shown.set(4, rows(TABLE + 1, &[100])));
        shown.unsure(3);
        let left = |id| image(true, [None, None, id]);
        let mut found = |shown: &mut Shown, image| found(&mut routes, shown, &image);
        assert_eq!(found(&mut shown, left(Some(100))), (vec![1, 2], vec![]));
        assert_eq!(found(&mut shown, left(Some(102))), (vec![], vec![]));
        assert!(shown.set(1, rows(TABLE, &[101])));
        shown.forget(2);
        assert_eq!(found(&mut shown, left(Some(100))), (vec![], vec![]));
        assert_eq!(found(&mut shown, left(Some(101))), (vec![1], vec![]));
        // Who is unsure looks at them later, once.
        assert_eq!(shown.doubts(3).map(Iterator::count), Some(4));
        assert_eq!(shown.doubts(3).map(Iterator::count), Some(0));
        // One that may have entered concerns all, and so does one without a key.
        let all = vec![1, 2, 3, 4];
        assert_eq!(found(&mut shown, image(false, [None, None, Some(9)])), (vec![], all.clone()));
        assert_eq!(found(&mut shown, left(None)), (vec![], all));
    }

    #[test]
    fn doubts_about_many_are_told_together() {
        let (mut routes, mut shown) = (Routes::default(), Shown::default());
        let many = u64::try_from(AT_ONCE).expect("fits") + 1;
        for id in 0..many {
            let tenant = i64::try_from(id % 2 + 1).expect("fits");
            routes.add(id, &concern(&[("project", &[7]), ("tenant", &[tenant])], false));
        }
        assert_eq!(found(&mut routes, &mut shown, &image(true, [None; 3])), (vec![], vec![]));
        let few = found(&mut routes, &mut shown, &image(true, [Some(1), None, None]));
        assert_eq!(few.1.len(), AT_ONCE / 2 + 1);
        let mut told = Vec::new();
        routes.tell(|id, transactions| told.push((id, transactions.to_vec())));
        told.sort_unstable();
        assert_eq!(told, (0..many).map(|id| (id, vec![7])).collect::<Vec<_>>());
        routes.tell(|_, _| panic!("is told once"));
    }

    #[test]
    fn too_many_ways_to_tell_rows_apart_are_one() {
        let mut routes = Routes::default();
        let names: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
        for (id, name) in (0..).zip(&names) {
            routes.add(id, &concern(&[(name, &[1]), ("tenant", &[1])], false));
        }
        assert!(routes.shapes.len() <= SHAPES + 1);
        assert_eq!(routes.len(), 100);
    }
}
