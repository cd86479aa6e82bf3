//! Tracked functions: what they take and what they answer.

use std::fmt::Write;
use std::sync::Arc;

use crate::catalog::model::{ArgMode, Catalog, Function, FunctionKind, Oid, TypeKind, Volatility};
use crate::graphql::Name;
use crate::metadata::QualifiedName;
use crate::metadata::function::{ExposedAs, Function as Written};
use crate::schema::naming::{Naming, is_graphql_name, sanitize};
use crate::schema::scalars::Scalars;

use super::{
    ArgumentRole, CallArgument, FunctionCall, FunctionId, FunctionRoot, Returns, SourceId,
    TrackedFunction, TrackedId,
};

/// What functions are resolved against.
pub(super) struct Around<'a> {
    pub source: SourceId,
    pub naming: &'a Naming,
    pub catalog: &'a Catalog,
    pub scalars: &'a Scalars,
    /// The tracked table whose rows have a composite type.
    pub row_type: &'a dyn Fn(Oid) -> Option<TrackedId>,
    pub expose: &'a [String],
}

/// The one function of this name.
pub(super) fn find<'a>(
    catalog: &'a Catalog,
    name: &QualifiedName,
    missing: &str,
) -> Result<&'a Function, String> {
    let mut found = catalog.functions.values().filter(|function| {
        function.schema == name.schema
            && function.name == name.name
            && function.kind == FunctionKind::Function
    });
    match (found.next(), found.next()) {
        (Some(function), None) => Ok(function),
        (None, _) => Err(format!("{missing}: \"{name}\"")),
        (Some(_), Some(_)) => Err(format!(
            "function \"{name}\" is overloaded. Overloaded functions are not supported"
        )),
    }
}

pub(super) fn is_json(catalog: &Catalog, oid: Oid) -> bool {
    catalog
        .types
        .get(&oid)
        .is_some_and(|ty| &*ty.schema == "pg_catalog" && matches!(&*ty.name, "json" | "jsonb"))
}

/// The reasons against an object, as Hasura lists them.
pub(super) fn listed(reasons: &[String]) -> String {
    match reasons {
        [single] => format!("because {single}"),
        several => {
            several.iter().fold("for the following reasons:\n".to_owned(), |mut out, reason| {
                // Writing to a String cannot fail.
                if writeln!(out, "  • {reason}").is_err() {
                    out.clear();
                }
                out
            })
        }
    }
}

impl Around<'_> {
    /// What a function returns, or why that cannot be shown.
    pub(super) fn returns(&self, function: &Function) -> Result<Returns, String> {
        let ty = self.catalog.types.get(&function.returns);
        match ty.map(|ty| &ty.kind) {
            Some(TypeKind::Composite) => match (self.row_type)(function.returns) {
                Some(table) => Ok(Returns::Rows { table, set: function.returns_set }),
                None => Err("the function returns rows of a table that is not tracked".to_owned()),
            },
            None | Some(TypeKind::Pseudo) => {
                Err("the function does not return a \"COMPOSITE\" type".to_owned())
            }
            Some(_) if function.returns_set => {
                Err("the function returns a set of a type that is no table".to_owned())
            }
            Some(_) => self
                .scalars
                .of_type(self.source, function.returns)
                .map(|scalar| Returns::Scalar(scalar.id))
                .ok_or_else(|| "the function returns a type that cannot be shown".to_owned()),
        }
    }

    /// The arguments of a call; `special` names those that are not the caller's.
    pub(super) fn arguments(
        &self,
        function: &Function,
        special: impl Fn(usize, Option<&str>) -> Option<ArgumentRole>,
    ) -> Result<Vec<CallArgument>, String> {
        let inputs: Vec<_> = function.inputs().collect();
        let first_default = inputs.len().saturating_sub(usize::from(function.defaults));
        let mut out: Vec<CallArgument> = Vec::with_capacity(inputs.len());
        let mut unnamed = 0;
        for (index, argument) in inputs.iter().enumerate() {
            let role = match special(index, argument.name.as_deref()) {
                Some(role) => role,
                None => {
                    let ty =
                        self.scalars.of_type(self.source, argument.type_oid).ok_or_else(|| {
                            format!("the type of the argument {} cannot be given", index + 1)
                        })?;
                    let name: Name = match &argument.name {
                        Some(name) if is_graphql_name(name) => name.clone(),
                        Some(name) => sanitize(name).into(),
                        None => {
                            unnamed += 1;
                            format!("arg_{unnamed}").into()
                        }
                    };
                    ArgumentRole::Caller { name, ty: ty.id }
                }
            };
            out.push(CallArgument {
                name: argument.name.clone(),
                type_oid: argument.type_oid,
                has_default: index >= first_default,
                variadic: argument.mode == ArgMode::Variadic,
                role,
            });
        }
        Ok(out)
    }

    /// Resolves a tracked function; an error says why it cannot be shown.
    pub(super) fn function(
        &self,
        written: &Written,
        id: FunctionId,
    ) -> Result<TrackedFunction, String> {
        let name = &written.function;
        let function = find(self.catalog, name, "no such function exists in source")?;
        let mut reasons = Vec::new();
        if function.inputs().any(|argument| argument.mode == ArgMode::Variadic) {
            reasons.push("function with \"VARIADIC\" parameters are not supported".to_owned());
        }
        let volatile = function.volatility == Volatility::Volatile;
        let kind = match (written.configuration.exposed_as, volatile) {
            (Some(ExposedAs::Mutation), false) => {
                reasons.push(
                    "the function is exposed as a mutation but is not of type \"VOLATILE\""
                        .to_owned(),
                );
                FunctionRoot::Mutation
            }
            (None, true) | (Some(ExposedAs::Mutation), true) => FunctionRoot::Mutation,
            (Some(ExposedAs::Query), _) | (None, false) => FunctionRoot::Query,
        };
        let session = written.configuration.session_argument.as_deref();
        if let Some(session) = session {
            let argument = function.inputs().find(|arg| arg.name.as_deref() == Some(session));
            match argument {
                None => reasons.push(format!(
                    "given session argument \"{session}\" not the input argument of the function"
                )),
                Some(argument) if !is_json(self.catalog, argument.type_oid) => reasons
                    .push(format!("given session argument \"{session}\" is not of type json")),
                Some(_) => {}
            }
        }
        let returns = self.returns(function).map_err(|reason| reasons.push(reason));
        let args = self
            .arguments(function, |_, name| {
                (session.is_some() && name == session).then_some(ArgumentRole::Session)
            })
            .map_err(|reason| reasons.push(reason));
        let (Ok(returns), Ok(args), true) = (returns, args, reasons.is_empty()) else {
            return Err(format!("the function \"{name}\" cannot be tracked {}", listed(&reasons)));
        };
        let default = self.graphql_name(function);
        let configuration = &written.configuration;
        let convention = self.naming.convention;
        let custom = configuration.custom_name.clone();
        // The name of the arguments' type is spelled so whoever gave the name.
        let args_type = convention.field(&format!("{}_args", custom.as_ref().unwrap_or(&default)));
        let aggregate = match &custom {
            Some(custom) => format!("{custom}_aggregate").into(),
            None => convention.field(&format!("{default}_aggregate")),
        };
        let base: Name = custom.unwrap_or_else(|| convention.field(&default));
        let roots = &configuration.custom_root_fields;
        let root = roots.function.clone().unwrap_or_else(|| base.clone());
        let aggregate_root = roots.function_aggregate.clone().unwrap_or(aggregate);
        for name in [&base, &root, &aggregate_root] {
            if !is_graphql_name(name) {
                return Err(format!("the name \"{name}\" is not a valid GraphQL name"));
            }
        }
        Ok(TrackedFunction {
            id,
            source: self.source,
            args_type: self.naming.type_name(&args_type),
            name: base,
            root: self.naming.root_field(&root),
            aggregate_root: self.naming.root_field(&aggregate_root),
            description: written.comment.clone().or_else(|| function.comment.clone()),
            call: FunctionCall {
                oid: function.oid,
                function: QualifiedName::new(function.schema.clone(), function.name.clone()),
                args,
            },
            returns,
            kind,
            stable: !volatile,
            roles: written.permissions.iter().map(|permission| permission.role.shared()).collect(),
            by_grant: false,
        })
    }

    fn graphql_name(&self, function: &Function) -> Name {
        if self.expose.first().is_some_and(|first| **first == *function.schema) {
            function.name.clone()
        } else {
            Arc::from([function.schema.as_ref(), "_", function.name.as_ref()].concat())
        }
    }
}
