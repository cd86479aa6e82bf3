//! What a write answers, and the rows that it hands to a later statement.

use std::sync::Arc;

use crate::catalog::model::{Oid, PgType, TypeKind};
use crate::operation::input::{Earlier, Operand};
use crate::operation::model::{ResponseField, Selected, SelectedField, WriteOutput};
use crate::schema::tracked::TrackedId;
use crate::schema::types::Codec;
use crate::sql::walk::columns_of_select;
use crate::sql::{
    Alias, Apply, ApplyArg, Expr, From, Ident, QualifiedName, Select, SelectItem, SqlType, With,
};

use super::super::PlanError;
use super::super::planner::{Planner, RowRef, own_type};
use super::super::rows::{object, record};
use super::super::script::{Gives, RootAnswer};
use super::{Writer, Written, answer_of, name_of};

/// Whether the answer has more in it than columns of the written rows.
pub(super) fn joins(output: &WriteOutput) -> bool {
    let any = |selection: &[Selected]| {
        selection.iter().any(|selected| {
            !matches!(selected.field, SelectedField::Typename(_) | SelectedField::Column { .. })
        })
    };
    match output {
        WriteOutput::Row(selection) => any(selection),
        WriteOutput::Response(fields) => fields.iter().any(|selected| match &selected.field {
            ResponseField::Returning(selection) => any(selection),
            ResponseField::Typename(_) | ResponseField::AffectedRows => false,
        }),
    }
}

/// The answer to a write of no rows.
pub(super) fn of_nothing(output: &WriteOutput) -> RootAnswer {
    let WriteOutput::Response(fields) = output else {
        return RootAnswer::Constant("null".into());
    };
    let mut map = serde_json::Map::new();
    for selected in fields {
        let value = match &selected.field {
            ResponseField::Typename(name) => name.as_ref().into(),
            ResponseField::AffectedRows => 0.into(),
            ResponseField::Returning(_) => serde_json::Value::Array(Vec::new()),
        };
        map.insert(selected.key.to_string(), value);
    }
    RootAnswer::Constant(serde_json::Value::Object(map).to_string().into())
}

impl<'a> Writer<'a> {
    /// One statement that writes, and one more where the answer has other
    /// tables in it. `build` makes the part that writes, which returns the
    /// columns that it is given.
    pub(super) fn statement(
        &mut self,
        table: TrackedId,
        output: &WriteOutput,
        build: impl FnOnce(&mut Planner<'a>, Alias, &[Ident]) -> Result<Written, PlanError>,
    ) -> Result<RootAnswer, PlanError> {
        if joins(output) {
            let last = self.rereading(table, output)?;
            let step = self.returning(table, &last.needs, build)?;
            return self.reread(last, &[step], &[step]);
        }
        let mut planner = self.planner();
        let name = planner.aliases.fresh();
        let row = RowRef { alias: name, table };
        let count = Expr::Scalar(Box::new(Select {
            items: vec![SelectItem { expr: count_all(), name: None }],
            from: Some(From::Cte(name)),
            ..Select::default()
        }));
        let json = planner.written(row, &From::Cte(name), &count, output)?;
        let select = answer_of(json);
        let needs = columns_of_select(&select, name).columns;
        let written = build(&mut planner, name, &needs)?;
        let (statement, writes) = written.statement(select);
        Ok(RootAnswer::Step(self.add(planner, statement, Some(writes))?))
    }

    /// A statement whose rows are for later ones.
    pub(super) fn returning(
        &mut self,
        table: TrackedId,
        needs: &[Ident],
        build: impl FnOnce(&mut Planner<'a>, Alias, &[Ident]) -> Result<Written, PlanError>,
    ) -> Result<usize, PlanError> {
        let mut planner = self.planner();
        let name = planner.aliases.fresh();
        let select = planner.handed_on(RowRef { alias: name, table }, needs)?;
        let written = build(&mut planner, name, needs)?;
        let (statement, writes) = written.statement(select);
        self.push(planner, statement, Gives::Rows, Some(writes))
    }

    /// Plans the statement that reads written rows back, before it is known
    /// which statements write them.
    pub(super) fn rereading(
        &self,
        table: TrackedId,
        output: &WriteOutput,
    ) -> Result<Rereading<'a>, PlanError> {
        let mut planner = self.planner();
        let row = planner.fresh(table);
        let none: Arc<[usize]> = Arc::new([]);
        let (shows, counts) = match output {
            WriteOutput::Row(_) => (true, false),
            WriteOutput::Response(fields) => {
                let any = |wanted: fn(&ResponseField) -> bool| {
                    fields.iter().any(|selected| wanted(&selected.field))
                };
                (
                    any(|field| matches!(field, ResponseField::Returning(_))),
                    any(|field| *field == ResponseField::AffectedRows),
                )
            }
        };
        // Only what is asked for: a statement must use all that it is sent.
        let from = if shows {
            let rows = Operand::Earlier(Earlier::Rows(none.clone()));
            let rows = planner.param(&rows, own_type("json", false)?);
            let ty = SqlType { name: name_of(&planner, table)?, array: false };
            let function =
                QualifiedName::new(&"pg_catalog".into(), &"json_populate_recordset".into())?;
            let args = [Expr::Cast(Box::new(Expr::Null), ty), rows].map(|value| ApplyArg {
                name: None,
                value,
                variadic: false,
            });
            From::Function { call: Apply { function, args: args.into() }, alias: row.alias }
        } else {
            From::Cte(row.alias)
        };
        let count = if counts {
            let count = Operand::Earlier(Earlier::Count(none));
            planner.param(&count, own_type("int8", false)?)
        } else {
            Expr::Null
        };
        let json = planner.written(row, &from, &count, output)?;
        let select = answer_of(json);
        let read = columns_of_select(&select, row.alias);
        let needs = if read.whole {
            let columns = &planner.table(table)?.columns;
            columns.iter().map(|c| Ident::new(c.name.clone())).collect::<Result<_, _>>()?
        } else {
            let mut needs = read.columns;
            needs.extend(planner.never_null(table, &needs)?);
            needs
        };
        Ok(Rereading { planner, select, needs })
    }

    /// Adds it, after the statements that count, and those whose rows are shown.
    pub(super) fn reread(
        &mut self,
        mut rereading: Rereading<'a>,
        counted: &[usize],
        shown: &[usize],
    ) -> Result<RootAnswer, PlanError> {
        for slot in &mut rereading.planner.slots {
            match &mut slot.operand {
                Operand::Earlier(Earlier::Count(steps)) => *steps = counted.into(),
                Operand::Earlier(Earlier::Rows(steps)) => *steps = shown.into(),
                _ => {}
            }
        }
        let statement = With { parts: Vec::new(), select: rereading.select };
        Ok(RootAnswer::Step(self.add(rereading.planner, statement, None)?))
    }
}

/// A statement that reads written rows back.
pub(super) struct Rereading<'a> {
    planner: Planner<'a>,
    select: Select,
    /// The columns that the statements before have to return.
    pub needs: Vec<Ident>,
}

impl Written {
    fn statement(self, mut select: Select) -> (With, super::Writes) {
        let mut parts = Vec::with_capacity(2);
        if let Some((name, before)) = self.before {
            // Nothing runs of a part that nobody reads.
            let passed = Select {
                items: before
                    .items
                    .iter()
                    .filter_map(|item| item.name.clone())
                    .map(|column| SelectItem { expr: Expr::Column(name, column), name: None })
                    .collect(),
                from: Some(From::Cte(name)),
                ..Select::default()
            };
            select.filter = Some(Expr::IsNotNull(Box::new(Expr::Scalar(Box::new(passed)))));
            parts.push((name, super::WithPart::Select(before)));
        }
        parts.push((self.name, self.part));
        (With { parts, select }, self.writes)
    }
}

fn count_all() -> Expr {
    Expr::Aggregate { function: "count", distinct: false, args: Vec::new() }
}

impl Planner<'_> {
    /// The answer over the rows of `from`, as JSON.
    fn written(
        &mut self,
        row: RowRef,
        from: &From,
        count: &Expr,
        output: &WriteOutput,
    ) -> Result<Expr, PlanError> {
        let fields = match output {
            WriteOutput::Row(selection) => {
                let alias = self.aliases.fresh();
                let base = Select { from: Some(from.clone()), ..Select::default() };
                let fields = self.fields(row, selection)?;
                return Ok(Expr::Scalar(Box::new(object(alias, fields, base)?)));
            }
            WriteOutput::Response(fields) => fields,
        };
        let outer = self.aliases.fresh();
        let mut out: Vec<(Arc<str>, Expr)> = Vec::with_capacity(fields.len());
        for selected in fields {
            let value = match &selected.field {
                ResponseField::Typename(name) => Expr::Text(name.to_string()),
                ResponseField::AffectedRows => count.clone(),
                ResponseField::Returning(selection) => {
                    let fields = self.fields(row, selection)?;
                    self.list_of_written(from, fields)?
                }
            };
            out.push((selected.key.clone(), value));
        }
        Ok(Expr::Scalar(Box::new(object(outer, out, Select::default())?)))
    }

    /// Columns of domains that refuse null, `but` for some: a row of the table
    /// cannot be put together without a value for them.
    fn never_null(&self, table: TrackedId, but: &[Ident]) -> Result<Vec<Ident>, PlanError> {
        let tracked = self.schema.tracked();
        let source = tracked
            .table(table)
            .and_then(|table| tracked.source(table.source))
            .ok_or(PlanError::Missing("a source"))?;
        let refuses = |oid: Oid| {
            let mut ty = source.catalog.types.get(&oid);
            while let Some(PgType { kind: TypeKind::Domain { base }, not_null, .. }) = ty {
                if *not_null {
                    return true;
                }
                ty = source.catalog.types.get(base);
            }
            false
        };
        let columns = self.table(table)?.columns.iter();
        let mut out = Vec::new();
        for column in columns.filter(|column| refuses(column.type_oid)) {
            if !but.iter().any(|name| *name.as_str() == *column.name) {
                out.push(Ident::new(column.name.clone())?);
            }
        }
        Ok(out)
    }

    fn list_of_written(
        &mut self,
        from: &From,
        fields: Vec<(Arc<str>, Expr)>,
    ) -> Result<Expr, PlanError> {
        let alias = self.aliases.fresh();
        let base = Select { from: Some(from.clone()), ..Select::default() };
        let (value, source) = record(alias, fields, base)?;
        let all = Expr::Call("json_agg", vec![value]);
        let list = Expr::Coalesce(vec![all, Expr::Text("[]".to_owned())]);
        Ok(Expr::Scalar(Box::new(Select {
            items: vec![SelectItem { expr: list, name: None }],
            from: Some(source),
            ..Select::default()
        })))
    }

    /// `[count, rows]` of the rows of a part: cells as text, which the types
    /// read back whatever they are; JSON stays JSON.
    fn handed_on(&mut self, row: RowRef, needs: &[Ident]) -> Result<Select, PlanError> {
        let from = From::Cte(row.alias);
        let count = Expr::Scalar(Box::new(Select {
            items: vec![SelectItem { expr: count_all(), name: None }],
            from: Some(from.clone()),
            ..Select::default()
        }));
        let mut parts = vec![count];
        if !needs.is_empty() {
            let table = self.table(row.table)?;
            let mut fields: Vec<(Arc<str>, Expr)> = Vec::with_capacity(needs.len());
            for name in needs {
                let column = table.columns.iter().find(|column| *column.name == *name.as_str());
                let column = column.ok_or(PlanError::Missing("a column to hand on"))?;
                let json = self
                    .schema
                    .scalar(row.table, column.id)
                    .is_some_and(|scalar| scalar.codec == Codec::Json);
                let value = Expr::Column(row.alias, name.clone());
                let value = if json {
                    value
                } else {
                    Expr::Cast(Box::new(value), own_type("text", false)?)
                };
                fields.push((column.name.clone(), value));
            }
            parts.push(self.list_of_written(&from, fields)?);
        }
        Ok(answer_of(Expr::Call("json_build_array", parts)))
    }
}
