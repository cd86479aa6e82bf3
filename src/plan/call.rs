//! Calls of functions: tracked ones and computed fields.

use crate::operation::input::Operand;
use crate::operation::model::Call;
use crate::schema::tracked::{
    ArgumentRole, ComputedField, FunctionCall, Returns, SourceId, TrackedId,
};
use crate::sql::{Apply, ApplyArg, Expr, From, Ident};

use super::PlanError;
use super::planner::{Planner, RowRef, own_type};
use super::predicate::function_name;

impl<'a> Planner<'a> {
    pub(super) fn computed_field(
        &self,
        table: TrackedId,
        index: usize,
    ) -> Result<&'a ComputedField, PlanError> {
        self.schema
            .tracked()
            .table(table)
            .and_then(|table| table.computed.get(index))
            .ok_or(PlanError::Missing("a computed field"))
    }

    /// The value of a scalar computed field, whoever asks.
    pub(super) fn computed_value(
        &mut self,
        row: RowRef,
        index: usize,
        args: &[(usize, Option<Operand>)],
    ) -> Result<Expr, PlanError> {
        let field = self.computed_field(row.table, index)?;
        let source = self.source_of(row.table)?;
        Ok(Expr::Apply(self.apply(&field.call, source, args, Some(row))?))
    }

    /// The same as the role sees it: null where the cell is hidden.
    pub(super) fn computed_cell(
        &mut self,
        row: RowRef,
        index: usize,
        args: &[(usize, Option<Operand>)],
    ) -> Result<Expr, PlanError> {
        let value = self.computed_value(row, index, args)?;
        match self.access(row.table)?.computed_cells.get(&index) {
            None => Ok(value),
            Some(condition) => {
                let condition = self.rule(row, condition)?;
                Ok(Expr::When(Box::new(condition), Box::new(value)))
            }
        }
    }

    /// The table of which a computed field returns rows.
    pub(super) fn computed_target(
        &self,
        table: TrackedId,
        index: usize,
    ) -> Result<TrackedId, PlanError> {
        match self.computed_field(table, index)?.returns {
            Returns::Rows { table, .. } => Ok(table),
            _ => Err(PlanError::Missing("the rows of a computed field")),
        }
    }

    /// The rows of a computed field as a row source.
    pub(super) fn computed_rows(
        &mut self,
        row: RowRef,
        index: usize,
        args: &[(usize, Option<Operand>)],
    ) -> Result<(RowRef, From), PlanError> {
        let field = self.computed_field(row.table, index)?;
        let table = self.computed_target(row.table, index)?;
        let source = self.source_of(row.table)?;
        let call = self.apply(&field.call, source, args, Some(row))?;
        let other = self.fresh(table);
        Ok((other, From::Function { call, alias: other.alias }))
    }

    /// The rows of a tracked function as a row source.
    pub(super) fn function_rows(&mut self, call: &Call) -> Result<(RowRef, From), PlanError> {
        let function = self
            .schema
            .tracked()
            .function(call.function)
            .ok_or(PlanError::Missing("a function"))?;
        let Returns::Rows { table, .. } = function.returns else {
            return Err(PlanError::Missing("the rows of a function"));
        };
        let apply = self.apply(&function.call, function.source, &call.args, None)?;
        let row = self.fresh(table);
        Ok((row, From::Function { call: apply, alias: row.alias }))
    }

    pub(super) fn function_value(&mut self, call: &Call) -> Result<Expr, PlanError> {
        let function = self
            .schema
            .tracked()
            .function(call.function)
            .ok_or(PlanError::Missing("a function"))?;
        Ok(Expr::Apply(self.apply(&function.call, function.source, &call.args, None)?))
    }

    fn source_of(&self, table: TrackedId) -> Result<SourceId, PlanError> {
        let table = self.schema.tracked().table(table).ok_or(PlanError::Missing("a table"))?;
        Ok(table.source)
    }

    /// A call: positional as long as arguments have no name, named after that.
    fn apply(
        &mut self,
        call: &FunctionCall,
        source: SourceId,
        given: &[(usize, Option<Operand>)],
        row: Option<RowRef>,
    ) -> Result<Apply, PlanError> {
        self.called.insert(call.oid);
        let mut args = Vec::with_capacity(call.args.len());
        // An argument without a name that keeps its default.
        let mut skipped = false;
        for (index, argument) in call.args.iter().enumerate() {
            let value = match &argument.role {
                ArgumentRole::Row => {
                    let row = row.ok_or(PlanError::Missing("the row of a call"))?;
                    Some(Expr::Row(row.alias))
                }
                ArgumentRole::Session => {
                    let json = own_type("json", false)?;
                    let param = self.param(&Operand::SessionVariables, json);
                    let ty = self.type_of(source, argument.type_oid)?;
                    Some(Expr::Cast(Box::new(param), ty))
                }
                ArgumentRole::Caller { .. } => {
                    match given.iter().find(|(position, _)| *position == index) {
                        None if argument.has_default => None,
                        None => {
                            let ty = self.type_of(source, argument.type_oid)?;
                            Some(Expr::Cast(Box::new(Expr::Null), ty))
                        }
                        Some((_, None)) => {
                            let ty = self.type_of(source, argument.type_oid)?;
                            Some(Expr::Cast(Box::new(Expr::Null), ty))
                        }
                        Some((_, Some(operand))) => {
                            let ty = self.type_of(source, argument.type_oid)?;
                            Some(self.param(operand, ty))
                        }
                    }
                }
            };
            let Some(value) = value else {
                skipped = true;
                continue;
            };
            let name = match &argument.name {
                Some(name) if skipped => Some(Ident::new(name.clone())?),
                None if skipped => return Err(PlanError::Missing("the name of an argument")),
                _ => None,
            };
            args.push(ApplyArg { name, value, variadic: argument.variadic });
        }
        Ok(Apply { function: function_name(&call.function)?, args })
    }

    fn type_of(
        &self,
        source: SourceId,
        oid: crate::catalog::model::Oid,
    ) -> Result<crate::sql::SqlType, PlanError> {
        self.schema
            .tracked()
            .scalars
            .of_type(source, oid)
            .map(|scalar| scalar.sql.clone())
            .ok_or(PlanError::Missing("the type of an argument"))
    }
}
