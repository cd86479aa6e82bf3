//! What planning keeps while it descends: aliases, parameters, the tables that
//! are touched.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::model::{self as db, ColumnId, Oid, PolicyCommand};
use crate::operation::input::Operand;
use crate::schema::RoleSchema;
use crate::schema::access::SelectAccess;
use crate::schema::predicate::{CompareValue, Comparison, Predicate, Subject};
use crate::schema::tracked::{Relationship, TrackedId};
use crate::schema::types::ScalarType;
use crate::sql::{
    Alias, AliasAllocator, BinaryOp, Expr, From, Ident, ParamId, QualifiedName, SqlType,
};

use super::{Filter, Form, PlanError, Slot};

/// What the wire protocol can count.
const MAX_PARAMETERS: usize = 65_535;

pub(super) struct Planner<'a> {
    pub schema: &'a RoleSchema,
    pub max_rows: Option<u64>,
    pub aliases: AliasAllocator,
    pub slots: Vec<Slot>,
    params: HashMap<(Slot, SqlType), ParamId>,
    pub filters: BTreeSet<Filter>,
    /// Tables, and the commands that run on them.
    pub touched: BTreeSet<(TrackedId, Touch)>,
    /// Functions that are called.
    pub called: BTreeSet<Oid>,
    /// Where tables are read, and what their rows are asked to equal there.
    pub readings: Vec<(Alias, TrackedId, Vec<Asked>)>,
    /// Where a stream begins, and the expression for where it stands then.
    pub stream: Option<(Option<Operand>, Expr)>,
    /// The first table whose permission asks other tables.
    pub asks_others: Option<TrackedId>,
}

/// A column, and the values one of which it must have.
pub(super) type Asked = (ColumnId, Vec<Operand>);

/// A command on a table, for the policies that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touch {
    Select,
    Insert,
    Update,
    Delete,
}

impl Touch {
    pub(super) const fn command(self) -> PolicyCommand {
        match self {
            Touch::Select => PolicyCommand::Select,
            Touch::Insert => PolicyCommand::Insert,
            Touch::Update => PolicyCommand::Update,
            Touch::Delete => PolicyCommand::Delete,
        }
    }
}

/// A row of a table in the statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowRef {
    pub alias: Alias,
    pub table: TrackedId,
}

impl<'a> Planner<'a> {
    pub(super) fn new(schema: &'a RoleSchema, max_rows: Option<u64>) -> Self {
        Planner {
            schema,
            max_rows,
            aliases: AliasAllocator::default(),
            slots: Vec::new(),
            params: HashMap::new(),
            filters: BTreeSet::new(),
            touched: BTreeSet::new(),
            called: BTreeSet::new(),
            readings: Vec::new(),
            stream: None,
            asks_others: None,
        }
    }

    pub(super) fn table(&self, id: TrackedId) -> Result<&'a db::Table, PlanError> {
        self.schema.table(id).ok_or(PlanError::Missing("a table"))
    }

    /// What the role may select of a table.
    pub(super) fn access(&self, id: TrackedId) -> Result<&'a SelectAccess, PlanError> {
        self.schema.types.select(id).ok_or(PlanError::Missing("a right to select"))
    }

    pub(super) fn fresh(&mut self, table: TrackedId) -> RowRef {
        RowRef { alias: self.aliases.fresh(), table }
    }

    /// A column as it is stored.
    pub(super) fn column(&self, row: RowRef, id: ColumnId) -> Result<Expr, PlanError> {
        let column = self.table(row.table)?.column(id).ok_or(PlanError::Missing("a column"))?;
        Ok(Expr::Column(row.alias, Ident::new(column.name.clone())?))
    }

    pub(super) fn scalar(
        &self,
        table: TrackedId,
        id: ColumnId,
    ) -> Result<&'a ScalarType, PlanError> {
        self.schema.scalar(table, id).ok_or(PlanError::Missing("a scalar"))
    }

    pub(super) fn relationship(
        &self,
        table: TrackedId,
        index: usize,
    ) -> Result<&'a Relationship, PlanError> {
        self.schema.relationship(table, index).ok_or(PlanError::Missing("a relationship"))
    }

    /// A table as a row source.
    pub(super) fn from(&mut self, row: RowRef) -> Result<From, PlanError> {
        let table = self.table(row.table)?;
        self.touched.insert((row.table, Touch::Select));
        self.readings.push((row.alias, row.table, Vec::new()));
        Ok(From::Table { name: QualifiedName::new(&table.schema, &table.name)?, alias: row.alias })
    }

    /// Notes that the rows of a reading must satisfy a condition.
    pub(super) fn note_asked(&mut self, row: RowRef, condition: &Predicate) {
        match condition {
            Predicate::And(parts) => parts.iter().for_each(|part| self.note_asked(row, part)),
            Predicate::Compare { subject: Subject::Column(column), comparison, value } => {
                match (comparison, value) {
                    (Comparison::Eq, CompareValue::One(operand)) => {
                        self.note_key(row, *column, std::slice::from_ref(operand));
                    }
                    (Comparison::In, CompareValue::Items(items)) => {
                        self.note_key(row, *column, items);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Notes that a column must have one of some values.
    pub(super) fn note_key(&mut self, row: RowRef, column: ColumnId, values: &[Operand]) {
        let reading = self.readings.iter_mut().find(|(alias, ..)| *alias == row.alias);
        if let Some((.., asked)) = reading {
            asked.push((column, values.to_vec()));
        }
    }

    pub(super) fn param(&mut self, operand: &Operand, ty: SqlType) -> Expr {
        self.slot(Slot { operand: operand.clone(), form: Form::Plain }, ty)
    }

    pub(super) fn slot(&mut self, slot: Slot, ty: SqlType) -> Expr {
        let next = self.slots.len();
        let id = *self.params.entry((slot.clone(), ty.clone())).or_insert(ParamId(next));
        if id.0 == next {
            self.slots.push(slot);
        }
        Expr::Param(id, ty)
    }

    pub(super) fn check_parameters(&self) -> Result<(), PlanError> {
        if self.slots.len() > MAX_PARAMETERS {
            return Err(PlanError::TooManyParameters);
        }
        Ok(())
    }

    /// (table, setting) pairs without which a policy would raise.
    pub(super) fn required(&self) -> Vec<(Arc<str>, String)> {
        let mut required = Vec::new();
        for (table, touch) in &self.touched {
            let name = self.schema.table_name(*table).cloned().unwrap_or_else(|| "".into());
            for setting in self.schema.required_settings(*table, touch.command()) {
                required.push((name.clone(), setting.to_owned()));
            }
        }
        required
    }

    /// A row count. One that the document spells out is a literal, since the
    /// planner has to guess what a parameter will be.
    pub(super) fn integer(
        &mut self,
        operand: &Operand,
        at_most: Option<u64>,
    ) -> Result<Expr, PlanError> {
        if let Operand::Const(text) = operand
            && let Ok(value) = text.parse::<u64>()
        {
            let value = at_most.map_or(value, |most| value.min(most));
            return Ok(Expr::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }
        let form = at_most.map_or(Form::Plain, Form::AtMost);
        Ok(self.slot(Slot { operand: operand.clone(), form }, own_type("int8", false)?))
    }

    /// The equalities that join a row to another over a relationship.
    pub(super) fn join(
        &self,
        here: RowRef,
        relationship: &Relationship,
        there: RowRef,
    ) -> Result<Vec<Expr>, PlanError> {
        relationship
            .join
            .iter()
            .map(|(own, other)| {
                let scalar = self.scalar(here.table, *own)?;
                let op = BinaryOp { schema: scalar.operators.schema.clone(), symbol: "=" };
                Ok(Expr::Binary(
                    Box::new(self.column(there, *other)?),
                    op,
                    Box::new(self.column(here, *own)?),
                ))
            })
            .collect()
    }

    /// The condition that metadata puts on the rows of a table.
    pub(super) fn permitted(&mut self, row: RowRef) -> Result<Expr, PlanError> {
        let filter: &'a Predicate = &self.access(row.table)?.filter;
        self.note_asked(row, filter);
        self.rule(row, filter)
    }
}

/// A type of `pg_catalog`.
pub(super) fn own_type(name: &str, array: bool) -> Result<SqlType, PlanError> {
    Ok(SqlType { name: QualifiedName::new(&"pg_catalog".into(), &name.into())?, array })
}
