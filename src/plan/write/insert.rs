//! Inserts: new rows, upserts, and rows of other tables inside.

use std::collections::BTreeSet;

use crate::base::JsonPath;
use crate::catalog::model::{ColumnId, Table, TableKind, TypeKind};
use crate::operation::input::Operand;
use crate::operation::model::{NewRow, NewRows, OnConflict, RowsInput, WriteOutput};
use crate::schema::access::InsertAccess;
use crate::schema::predicate::Predicate;
use crate::schema::tracked::{Relationship, TrackedId};
use crate::sql::raise::{require, require_seen};
use crate::sql::walk::columns_of_expr;
use crate::sql::{
    Alias, BinaryOp, ConflictUpdate, Expr, From, Ident, Insert, InsertSource,
    OnConflict as SqlConflict, Select, SelectItem, SqlType, WithPart,
};

use super::super::PlanError;
use super::super::planner::{Planner, RowRef, Touch, own_type};
use super::super::predicate::exists;
use super::super::script::{Empty, RootAnswer, Writes};
use super::output::of_nothing;
use super::update::returned;
use super::{Writer, Written, cell, column_name, free_name, name_of};

/// What one INSERT writes.
#[derive(Clone, Copy)]
struct Rows<'r> {
    table: TrackedId,
    rows: RowsOf<'r>,
    /// Columns that all rows have, of rows around.
    determined: &'r [(ColumnId, Operand)],
    on_conflict: Option<&'r OnConflict>,
    /// Holds for the rows that an upsert changes: others belong to another row.
    belongs: &'r [(ColumnId, Operand)],
    path: &'r JsonPath,
}

#[derive(Clone, Copy)]
enum RowsOf<'r> {
    Each(&'r [NewRow]),
    Columns(&'r [(ColumnId, Operand)]),
}

/// Whether each row is a statement of its own.
fn one_by_one(rows: &RowsInput) -> bool {
    let RowsInput::Each(rows) = rows else { return false };
    let nested = |row: &NewRow| !row.before.is_empty() || !row.after.is_empty();
    // SQL has no way to say several rows of defaults only.
    let bare = rows.len() > 1 && rows.iter().all(|row| row.columns.is_empty());
    bare || rows.iter().any(nested)
}

impl<'a> Writer<'a> {
    pub(super) fn insert(
        &mut self,
        new: &NewRows,
        output: &WriteOutput,
    ) -> Result<RootAnswer, PlanError> {
        let rows = match &new.rows {
            RowsInput::Each(rows) if rows.is_empty() => return Ok(of_nothing(output)),
            RowsInput::Each(rows) if one_by_one(&new.rows) => rows,
            _ => {
                let rows = Rows::of(new, &[]);
                return self.statement(new.table, output, |planner, name, needs| {
                    planner.insert_part(rows, name, needs)
                });
            }
        };
        let last = self.rereading(new.table, output)?;
        let mut counted = Vec::new();
        let mut shown = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let path = new.path.clone().index(index);
            let on_conflict = new.on_conflict.as_ref();
            let rows = OneRow {
                table: new.table,
                row,
                determined: &[],
                on_conflict,
                stays: false,
                path: &path,
            };
            shown.push(self.insert_row(rows, last.needs.clone(), None, &mut counted)?);
        }
        self.reread(last, &counted, &shown)
    }

    /// One row with those of other tables inside; gives the row's own
    /// statement, and adds all that there are to `counted`.
    fn insert_row(
        &mut self,
        new: OneRow<'_>,
        mut needs: Vec<Ident>,
        mut empty: Option<Empty>,
        counted: &mut Vec<usize>,
    ) -> Result<usize, PlanError> {
        let mut determined = new.determined.to_vec();
        for (index, target) in &new.row.before {
            let relationship = self.relationship(new.table, *index)?;
            let RowsInput::Each(rows) = &target.rows else {
                return Err(PlanError::Missing("the row of a relationship"));
            };
            let Some(row) = rows.first() else { continue };
            let planner = self.planner();
            let mut keys = Vec::with_capacity(relationship.join.len());
            for (_, other) in &relationship.join {
                keys.push(column_name(&planner, target.table, *other)?);
            }
            let mut at = target.path.clone();
            at.pop();
            let empty = Empty {
                message: format!(
                    "cannot proceed to insert object relation \"{}\" since insert to table \"{}\" affects zero rows",
                    relationship.name,
                    self.said(target.table)?
                ),
                path: at,
            };
            let row = OneRow {
                table: target.table,
                row,
                determined: &[],
                on_conflict: target.on_conflict.as_ref(),
                stays: new.stays,
                path: &target.path,
            };
            let step = self.insert_row(row, keys.clone(), Some(empty), counted)?;
            for ((own, _), key) in relationship.join.iter().zip(&keys) {
                determined.push((*own, cell(step, key)));
            }
        }
        if !new.row.after.is_empty() {
            let message = format!(
                "cannot proceed to insert array relations since insert to table \"{}\" affects zero rows",
                self.said(new.table)?
            );
            empty = Some(Empty { message, path: new.path.clone() });
        }
        let planner = self.planner();
        for (index, _) in &new.row.after {
            for (own, _) in &self.relationship(new.table, *index)?.join {
                let name = column_name(&planner, new.table, *own)?;
                if !needs.contains(&name) {
                    needs.push(name);
                }
            }
        }
        let rows = Rows {
            table: new.table,
            rows: RowsOf::Each(std::slice::from_ref(new.row)),
            determined: &determined,
            on_conflict: new.on_conflict,
            belongs: if new.stays { new.determined } else { &[] },
            path: new.path,
        };
        let step = self.returning(new.table, &needs, |planner, name, needs| {
            planner.insert_part(rows, name, needs)
        })?;
        if let Some(draft) = self.drafts.get_mut(step) {
            draft.empty = empty;
        }
        counted.push(step);
        for (index, children) in &new.row.after {
            let mut keys = Vec::new();
            for (own, other) in &self.relationship(new.table, *index)?.join {
                let own = column_name(&planner, new.table, *own)?;
                keys.push((*other, cell(step, &own)));
            }
            self.insert_children(children, &keys, new.stays, counted)?;
        }
        Ok(step)
    }

    pub(super) fn insert_children(
        &mut self,
        new: &NewRows,
        determined: &[(ColumnId, Operand)],
        stays: bool,
        counted: &mut Vec<usize>,
    ) -> Result<(), PlanError> {
        if let RowsInput::Each(rows) = &new.rows
            && one_by_one(&new.rows)
        {
            for (index, row) in rows.iter().enumerate() {
                let path = new.path.clone().index(index);
                let on_conflict = new.on_conflict.as_ref();
                let row =
                    OneRow { table: new.table, row, determined, on_conflict, stays, path: &path };
                self.insert_row(row, Vec::new(), None, counted)?;
            }
            return Ok(());
        }
        let belongs = if stays { determined } else { &[] };
        let rows = Rows { belongs, ..Rows::of(new, determined) };
        let step = self.returning(new.table, &[], |planner, name, needs| {
            planner.insert_part(rows, name, needs)
        })?;
        counted.push(step);
        Ok(())
    }

    pub(super) fn relationship(
        &self,
        table: TrackedId,
        index: usize,
    ) -> Result<&'a Relationship, PlanError> {
        self.schema.relationship(table, index).ok_or(PlanError::Missing("a relationship"))
    }

    /// A table's name for messages.
    fn said(&self, table: TrackedId) -> Result<String, PlanError> {
        let table = self.schema.table(table).ok_or(PlanError::Missing("a table"))?;
        Ok(match table.schema.as_ref() {
            "public" => table.name.to_string(),
            schema => format!("{schema}.{}", table.name),
        })
    }
}

/// A row that is a statement of its own.
#[derive(Clone, Copy)]
struct OneRow<'r> {
    table: TrackedId,
    row: &'r NewRow,
    determined: &'r [(ColumnId, Operand)],
    on_conflict: Option<&'r OnConflict>,
    /// An upsert changes only rows that have these values in `determined` too.
    stays: bool,
    path: &'r JsonPath,
}

impl<'r> Rows<'r> {
    fn of(new: &'r NewRows, determined: &'r [(ColumnId, Operand)]) -> Self {
        Rows {
            table: new.table,
            rows: match &new.rows {
                RowsInput::Each(rows) => RowsOf::Each(rows),
                RowsInput::Columns(columns) => RowsOf::Columns(columns),
            },
            determined,
            on_conflict: new.on_conflict.as_ref(),
            belongs: &[],
            path: &new.path,
        }
    }

    /// The columns that rows give themselves, in the table's order, and
    /// whether each gives all of them.
    fn given(&self) -> (BTreeSet<ColumnId>, BTreeSet<ColumnId>) {
        match self.rows {
            RowsOf::Columns(columns) => {
                let all: BTreeSet<_> = columns.iter().map(|(column, _)| *column).collect();
                (all.clone(), all)
            }
            RowsOf::Each(rows) => {
                let of = |row: &NewRow| -> BTreeSet<ColumnId> {
                    row.columns.iter().map(|(column, _)| *column).collect()
                };
                let any = rows.iter().flat_map(&of).collect();
                let mut sets = rows.iter().map(of);
                let first = sets.next().unwrap_or_default();
                let all = sets.fold(first, |all, set| all.intersection(&set).copied().collect());
                (any, all)
            }
        }
    }
}

impl Planner<'_> {
    /// `INSERT …`, returning `needs`.
    fn insert_part(
        &mut self,
        new: Rows<'_>,
        name: Alias,
        needs: &[Ident],
    ) -> Result<Written, PlanError> {
        let access =
            self.schema.types.inserts(new.table).ok_or(PlanError::Missing("a right to insert"))?;
        let row = self.fresh(new.table);
        // What metadata presets stands, whatever else would give a value.
        let mut fixed: Vec<(ColumnId, Operand)> = access.presets.clone();
        for (column, operand) in new.determined {
            if !fixed.iter().any(|(other, _)| other == column) {
                fixed.push((*column, operand.clone()));
            }
        }
        let (given, always) = new.given();
        let mut columns: Vec<ColumnId> = given.into_iter().collect();
        columns.retain(|column| !fixed.iter().any(|(other, _)| other == column));
        columns.extend(fixed.iter().map(|(column, _)| *column));
        columns.sort_unstable();
        let names = columns
            .iter()
            .map(|column| column_name(self, new.table, *column))
            .collect::<Result<Vec<_>, _>>()?;
        let source = self.insert_source(new, &columns, &fixed)?;
        let on_conflict = match new.on_conflict {
            None => None,
            Some(conflict) => Some(self.conflict(row, conflict, new.belongs)?),
        };
        let upserts = on_conflict.as_ref().is_some_and(|conflict| conflict.update.is_some());
        self.touched.insert((new.table, Touch::Insert));
        if upserts {
            self.touched.insert((new.table, Touch::Update));
            self.touched.insert((new.table, Touch::Select));
        }
        let mut returning = returned(row, needs);
        let mut reads_new = !needs.is_empty();
        let mut before = None;
        if let Some(check) = self.insert_check(row, access, upserts)? {
            let decided: BTreeSet<ColumnId> =
                always.into_iter().chain(fixed.iter().map(|(column, _)| *column)).collect();
            match self.checked_at(row, &check, upserts, reads_new, &decided)? {
                CheckedAt::Stored { reads } => {
                    reads_new |= reads;
                    let name = Some(free_name(needs)?);
                    returning.push(SelectItem { expr: require(check)?, name });
                }
                CheckedAt::Input => {
                    before = Some(self.input_check(new, &access.check, &fixed, &decided)?);
                }
            }
        }
        if reads_new {
            self.touched.insert((new.table, Touch::Select));
        }
        if returning.is_empty() {
            returning.push(SelectItem { expr: Expr::Int(1), name: Some(free_name(needs)?) });
        }
        let insert = Insert {
            table: name_of(self, new.table)?,
            alias: row.alias,
            columns: names,
            source,
            on_conflict,
            returning,
        };
        let writes = Writes {
            table: new.table,
            path: new.path.clone(),
            refused: new.path.clone(),
            reads_new,
        };
        Ok(Written { name, part: WithPart::Insert(insert), before, writes })
    }

    fn insert_source(
        &mut self,
        new: Rows<'_>,
        columns: &[ColumnId],
        fixed: &[(ColumnId, Operand)],
    ) -> Result<InsertSource, PlanError> {
        let fixed_value = |planner: &mut Self, column: ColumnId| {
            let found = fixed.iter().find(|(other, _)| *other == column);
            found.map(|(_, operand)| planner.value(new.table, column, Some(operand))).transpose()
        };
        match new.rows {
            RowsOf::Columns(arrays) => {
                let alias = self.aliases.fresh();
                let from = self.arrays(new.table, arrays, alias)?;
                let mut items = Vec::with_capacity(columns.len());
                for column in columns {
                    let expr = match fixed_value(self, *column)? {
                        Some(value) => value,
                        None => self.element(new.table, *column, alias)?,
                    };
                    items.push(SelectItem { expr, name: None });
                }
                let select = Select { items, from: Some(from), ..Select::default() };
                Ok(InsertSource::Select(Box::new(select)))
            }
            RowsOf::Each(_) if columns.is_empty() => Ok(InsertSource::Defaults),
            RowsOf::Each(rows) => {
                let mut out = Vec::with_capacity(rows.len());
                for row in rows {
                    let mut cells = Vec::with_capacity(columns.len());
                    for column in columns {
                        let own = row.columns.iter().find(|(other, _)| other == column);
                        cells.push(match (fixed_value(self, *column)?, own) {
                            (Some(value), _) => Some(value),
                            (None, Some((_, operand))) => {
                                Some(self.value(new.table, *column, operand.as_ref())?)
                            }
                            (None, None) => None,
                        });
                    }
                    out.push(cells);
                }
                Ok(InsertSource::Values(out))
            }
        }
    }

    /// A value for a column.
    pub(super) fn value(
        &mut self,
        table: TrackedId,
        column: ColumnId,
        operand: Option<&Operand>,
    ) -> Result<Expr, PlanError> {
        let ty = self.scalar(table, column)?.sql.clone();
        Ok(match operand {
            Some(operand) => self.param(operand, ty),
            None => Expr::Cast(Box::new(Expr::Null), ty),
        })
    }

    /// Whether values of a column go into an array as text: there are no arrays
    /// of arrays, a row in an array comes out as its columns, and some types
    /// want something else than commas between them.
    pub(in crate::plan) fn unnests_as_text(
        &self,
        table: TrackedId,
        column: ColumnId,
    ) -> Result<bool, PlanError> {
        let tracked = self.schema.tracked();
        let source = tracked
            .table(table)
            .and_then(|table| tracked.source(table.source))
            .ok_or(PlanError::Missing("a source"))?;
        let db = self.table(table)?.column(column).ok_or(PlanError::Missing("a column"))?;
        let mut ty = source.catalog.types.get(&db.type_oid);
        while let Some(TypeKind::Domain { base }) = ty.map(|ty| &ty.kind) {
            ty = source.catalog.types.get(base);
        }
        Ok(ty.is_some_and(|ty| {
            matches!(ty.kind, TypeKind::Array { .. } | TypeKind::Composite) || ty.delimiter != ','
        }))
    }

    /// `unnest(…) AS alias("column", …)`
    pub(in crate::plan) fn arrays(
        &mut self,
        table: TrackedId,
        arrays: &[(ColumnId, Operand)],
        alias: Alias,
    ) -> Result<From, PlanError> {
        let mut exprs = Vec::with_capacity(arrays.len());
        let mut columns = Vec::with_capacity(arrays.len());
        for (column, operand) in arrays {
            let ty = if self.unnests_as_text(table, *column)? {
                own_type("text", true)?
            } else {
                SqlType { array: true, ..self.scalar(table, *column)?.sql.clone() }
            };
            exprs.push(self.param(operand, ty));
            columns.push(column_name(self, table, *column)?);
        }
        Ok(From::Unnest { arrays: exprs, alias, columns })
    }

    /// A cell of [`Self::arrays`].
    pub(in crate::plan) fn element(
        &self,
        table: TrackedId,
        column: ColumnId,
        alias: Alias,
    ) -> Result<Expr, PlanError> {
        let cell = Expr::Column(alias, column_name(self, table, column)?);
        if self.unnests_as_text(table, column)? {
            return Ok(Expr::Cast(Box::new(cell), self.scalar(table, column)?.sql.clone()));
        }
        Ok(cell)
    }

    /// `belongs` holds for the rows that may be updated.
    fn conflict(
        &mut self,
        row: RowRef,
        conflict: &OnConflict,
        belongs: &[(ColumnId, Operand)],
    ) -> Result<SqlConflict, PlanError> {
        let table = self.table(row.table)?;
        let key = match conflict.constraint {
            None => None,
            Some(position) => {
                let key = match position.checked_sub(1) {
                    None => table.primary_key.as_ref(),
                    Some(unique) => table.uniques.get(usize::from(unique)),
                };
                Some(key.ok_or(PlanError::Missing("a constraint"))?)
            }
        };
        let constraint = key.map(|key| Ident::new(key.name.clone())).transpose()?;
        if conflict.columns.is_empty() {
            return Ok(SqlConflict { constraint, update: None });
        }
        let access = self
            .schema
            .types
            .updates_of(row.table)
            .ok_or(PlanError::Missing("a right to update"))?;
        let mut set: Vec<(Ident, Option<Expr>)> = Vec::new();
        for column in &conflict.columns {
            let name = column_name(self, row.table, *column)?;
            if !set.iter().any(|(other, _)| *other == name) {
                set.push((name.clone(), Some(Expr::Excluded(name))));
            }
        }
        for (column, operand) in &access.presets {
            let name = column_name(self, row.table, *column)?;
            let value = self.value(row.table, *column, Some(operand))?;
            set.retain(|(other, _)| *other != name);
            set.push((name, Some(value)));
        }
        let permitted = self.rule(row, &access.filter)?;
        let asked = self.asked(row, &conflict.filter)?;
        let mut conditions = self.stored_as(row, belongs)?;
        conditions.extend([permitted, asked]);
        let mut filter = Expr::and(conditions);
        if filter != Expr::Bool(true) && table.rls_enabled {
            let key = key.ok_or(PlanError::Missing("a constraint"))?;
            filter = require_seen(self.is_seen(row, &key.columns)?, filter)?;
        }
        Ok(SqlConflict { constraint, update: Some(ConflictUpdate { set, filter }) })
    }

    /// Whether policies let the role see the row that an upsert meets. Postgres
    /// asks for the condition of an upsert before it looks at the policies, so
    /// what it does then would tell of a row that they hide. A row that another
    /// transaction has inserted since the statement began is not seen either.
    fn is_seen(&mut self, row: RowRef, key: &[ColumnId]) -> Result<Expr, PlanError> {
        let seen = self.fresh(row.table);
        let from = self.from(seen)?;
        let mut conditions = Vec::with_capacity(key.len());
        for id in key {
            let [here, there] = [self.column(row, *id)?, self.column(seen, *id)?];
            let schema = self.scalar(row.table, *id)?.operators.schema.clone();
            let op = BinaryOp { schema, symbol: "=" };
            let same = Expr::Binary(Box::new(there.clone()), op, Box::new(here.clone()));
            let column = self.table(row.table)?.column(*id);
            conditions.push(if column.is_some_and(|column| column.not_null) {
                same
            } else {
                // `NULLS NOT DISTINCT`
                let null = |expr| Expr::IsNull(Box::new(expr));
                Expr::or([same, Expr::and([null(there), null(here)])])
            });
        }
        Ok(exists(from, conditions))
    }

    /// The condition that each written row has to satisfy.
    fn insert_check(
        &mut self,
        row: RowRef,
        access: &InsertAccess,
        upserts: bool,
    ) -> Result<Option<Expr>, PlanError> {
        let inserted = self.rule(row, &access.check)?;
        let updates = self.schema.types.updates_of(row.table);
        let updated = match updates.and_then(|updates| updates.check.as_ref()) {
            Some(check) if upserts => self.rule(row, check)?,
            _ => return Ok((inserted != Expr::Bool(true)).then_some(inserted)),
        };
        if inserted == updated {
            return Ok((inserted != Expr::Bool(true)).then_some(inserted));
        }
        if self.table(row.table)?.kind == TableKind::Partitioned {
            // A row that went into a partition has no system columns to tell
            // whether it was there before.
            return Ok(Some(Expr::and([inserted, updated])));
        }
        // A row that was there before has been locked by the update.
        let xmax = Expr::Column(row.alias, Ident::new("xmax")?);
        Ok(Some(Expr::Case {
            when: Box::new(Expr::equals(xmax, Expr::Int(0))),
            then: Box::new(inserted),
            otherwise: Box::new(updated),
        }))
    }

    /// Where a check is made: on the row as it is stored, unless that would
    /// read it where the request does not and a policy of SELECT may hide it,
    /// and the values that are sent decide. They do not where the row was there
    /// before, or something may change them on the way into the table.
    fn checked_at(
        &self,
        row: RowRef,
        check: &Expr,
        upserts: bool,
        reads_new: bool,
        decided: &BTreeSet<ColumnId>,
    ) -> Result<CheckedAt, PlanError> {
        let read = columns_of_expr(check, row.alias);
        let table = self.table(row.table)?;
        let ids = ids_of(table, &read.columns);
        // Partitions and what is below a view have triggers of their own.
        let as_sent = table.kind == TableKind::Table && !table.rewrites_new;
        let kept = |id: &ColumnId| {
            // A modifier rounds, cuts or pads.
            decided.contains(id)
                && table.column(*id).is_some_and(|column| column.type_modifier == -1)
        };
        let decides = as_sent
            && !upserts
            && !read.whole
            && ids.as_ref().is_some_and(|ids| ids.iter().all(kept));
        let readable = self.schema.types.select(row.table).is_some_and(|select| {
            !read.whole
                && ids
                    .as_ref()
                    .is_some_and(|ids| ids.iter().all(|id| select.readable.contains(*id)))
        });
        let reads = read.whole || !read.columns.is_empty();
        if decides && reads && !(readable && (reads_new || !table.rls_enabled)) {
            return Ok(CheckedAt::Input);
        }
        Ok(CheckedAt::Stored { reads })
    }

    /// The check over the rows that are sent.
    fn input_check(
        &mut self,
        new: Rows<'_>,
        check: &Predicate,
        fixed: &[(ColumnId, Operand)],
        decided: &BTreeSet<ColumnId>,
    ) -> Result<(Alias, Select), PlanError> {
        let name = self.aliases.fresh();
        let row = self.fresh(new.table);
        let condition = self.rule(row, check)?;
        let columns: Vec<ColumnId> = decided.iter().copied().collect();
        let names = columns
            .iter()
            .map(|column| column_name(self, new.table, *column))
            .collect::<Result<Vec<_>, _>>()?;
        let from = match (new.rows, self.insert_source(new, &columns, fixed)?) {
            (RowsOf::Columns(_), InsertSource::Select(mut select)) => {
                for (item, name) in select.items.iter_mut().zip(names) {
                    item.name = Some(name);
                }
                From::Select { select, alias: row.alias }
            }
            (_, InsertSource::Values(rows)) => {
                let rows = rows
                    .into_iter()
                    .map(|row| row.into_iter().collect::<Option<Vec<_>>>())
                    .collect::<Option<Vec<_>>>()
                    .ok_or(PlanError::Missing("a value to check"))?;
                From::Values { rows, alias: row.alias, columns: names }
            }
            _ => return Err(PlanError::Missing("values to check")),
        };
        let passed =
            Expr::Aggregate { function: "count", distinct: false, args: vec![require(condition)?] };
        let select = Select {
            items: vec![SelectItem { expr: passed, name: Some(Ident::new("ok")?) }],
            from: Some(from),
            ..Select::default()
        };
        Ok((name, select))
    }
}

/// Where a check is made.
enum CheckedAt {
    /// On the stored row, and whether its columns are read.
    Stored { reads: bool },
    /// On the values that are sent.
    Input,
}

/// The columns of these names; `None` where one is a column of the system.
fn ids_of(table: &Table, names: &[Ident]) -> Option<Vec<ColumnId>> {
    names
        .iter()
        .map(|name| {
            table.columns.iter().find(|column| *column.name == *name.as_str()).map(|c| c.id)
        })
        .collect()
}
