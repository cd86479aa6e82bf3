//! Computed fields: a function of the row.

use crate::catalog::model::{Table, TypeKind, Volatility};
use crate::metadata::QualifiedName;
use crate::metadata::function::ComputedField as Written;
use crate::schema::naming::is_graphql_name;

use super::function::{Around, find, is_json, listed};
use super::{ArgumentRole, ComputedField, FunctionCall, Returns};

impl Around<'_> {
    /// Resolves a computed field; an error is a reason in Hasura's words.
    pub(super) fn computed(
        &self,
        table: &Table,
        written: &Written,
    ) -> Result<ComputedField, String> {
        let here = QualifiedName::new(table.schema.clone(), table.name.clone());
        let name = &written.name;
        let inside =
            |reason: String| format!("in table \"{here}\": in computed field \"{name}\": {reason}");
        let definition = &written.definition;
        let function =
            find(self.catalog, &definition.function, "no such function exists").map_err(inside)?;
        let called = QualifiedName::new(function.schema.clone(), function.name.clone());
        let mut reasons = Vec::new();
        if !is_graphql_name(name) {
            reasons.push(format!("\"{name}\" is not a valid GraphQL name"));
        }
        if function.volatility == Volatility::Volatile {
            reasons.push(format!(
                "the function \"{called}\" is of type VOLATILE; cannot be added as a computed field"
            ));
        }
        let inputs: Vec<_> = function.inputs().collect();
        if inputs.is_empty() {
            reasons.push(format!("the function \"{called}\" has no input arguments"));
        }
        let position = |name: &str| inputs.iter().position(|arg| arg.name.as_deref() == Some(name));
        let unknown = |name: &str| {
            format!("\"{name}\" is not an input argument of the function \"{called}\"")
        };
        let row = match definition.table_argument.as_deref() {
            None => (!inputs.is_empty()).then_some((0, "first argument".to_owned())),
            Some(name) => {
                let at = position(name);
                if at.is_none() {
                    reasons.push(unknown(name));
                }
                at.map(|at| (at, format!("\"{name}\" argument")))
            }
        };
        if let Some((at, what)) = &row
            && let Some(argument) = inputs.get(*at)
        {
            let ty = self.catalog.types.get(&argument.type_oid);
            if !ty.is_some_and(|ty| ty.kind == TypeKind::Composite) {
                reasons.push(format!("{what} of the function \"{called}\" is not COMPOSITE type"));
            }
            if ty.and_then(|ty| ty.relation) != Some(table.oid) {
                let ty = ty.map_or_else(
                    || "unknown".to_owned(),
                    |ty| format!("{}.{}", ty.schema, ty.name),
                );
                reasons.push(format!(
                    "{what} of the function \"{called}\" of type \"{ty}\" is not the table to which the \
                     computed field is being added"
                ));
            }
        }
        let session = match definition.session_argument.as_deref() {
            None => None,
            Some(name) => {
                let at = position(name);
                match at.and_then(|at| inputs.get(at)) {
                    None => reasons.push(unknown(name)),
                    Some(argument) if !is_json(self.catalog, argument.type_oid) => {
                        reasons.push(format!(
                            "\"{name}\" argument of the function \"{called}\" is not of type JSON"
                        ));
                    }
                    Some(_) => {}
                }
                at
            }
        };
        let returns = self.returns(function).and_then(|returns| match returns {
            Returns::Rows { set: false, .. } => {
                Err(format!("the function \"{called}\" returning a single row is not supported"))
            }
            other => Ok(other),
        });
        let returns = returns.map_err(|reason| reasons.push(reason));
        let args = self
            .arguments(function, |at, _| match &row {
                Some((row, _)) if *row == at => Some(ArgumentRole::Row),
                _ if session == Some(at) => Some(ArgumentRole::Session),
                _ => None,
            })
            .map_err(|reason| reasons.push(reason));
        let (Ok(returns), Ok(args), true) = (returns, args, reasons.is_empty()) else {
            return Err(inside(format!(
                "the computed field \"{name}\" cannot be added to table \"{here}\" {}",
                listed(&reasons)
            )));
        };
        Ok(ComputedField {
            name: name.shared(),
            description: written.comment.clone().or_else(|| function.comment.clone()),
            call: FunctionCall { oid: function.oid, function: called, args },
            returns,
        })
    }
}
