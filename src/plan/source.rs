//! Which source a root is in.

use std::collections::BTreeSet;

use crate::operation::model::{Read, RootSelection, RowSource, Rows, Write};
use crate::schema::RoleSchema;
use crate::schema::tracked::{FunctionId, SourceId, TrackedId};

use super::PlanError;

/// The sources of some roots, in order; none when no database is asked.
pub(super) fn sources<'r>(
    schema: &RoleSchema,
    roots: impl IntoIterator<Item = &'r RootSelection>,
) -> Result<BTreeSet<SourceId>, PlanError> {
    let mut found = BTreeSet::new();
    for root in roots {
        found.extend(source(schema, root)?);
    }
    Ok(found)
}

/// The source of a root; `None` when it needs no database.
pub(super) fn source(
    schema: &RoleSchema,
    root: &RootSelection,
) -> Result<Option<SourceId>, PlanError> {
    let table = |id: TrackedId| {
        schema.tracked().table(id).map(|table| table.source).ok_or(PlanError::Missing("a table"))
    };
    let function = |id: FunctionId| {
        let found = schema.tracked().function(id).map(|function| function.source);
        found.ok_or(PlanError::Missing("a function"))
    };
    let rows = |from: &RowSource, of: TrackedId| match from {
        RowSource::Table => table(of),
        RowSource::Function(call) => function(call.function),
    };
    let found = match root {
        RootSelection::Typename(_)
        | RootSelection::Described(_)
        // What belongs to its answer is asked for later.
        | RootSelection::Action(_)
        | RootSelection::NothingAvailable => return Ok(None),
        RootSelection::Namespace(inside) => {
            return Ok(sources(schema, inside.iter().map(|root| &root.field))?.first().copied());
        }
        RootSelection::Read(read) => match read.as_ref() {
            Read::Many(Rows { table, source, .. }) | Read::One(Rows { table, source, .. }) => {
                rows(source, *table)
            }
            Read::ByPk { table: id, .. } => table(*id),
            Read::Aggregate(aggregated) => rows(&aggregated.source, aggregated.table),
            Read::Scalar { call } => function(call.function),
            Read::Stream(streamed) => table(streamed.table),
        },
        RootSelection::Write(write) => match write.as_ref() {
            Write::Insert { rows, .. } => table(rows.table),
            Write::Update { update, .. } => table(update.table),
            Write::UpdateMany { updates, .. } => match updates.first() {
                Some(update) => table(update.table),
                None => return Ok(None),
            },
            Write::Delete { delete, .. } => table(delete.table),
        },
    };
    found.map(Some)
}
