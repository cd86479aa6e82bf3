//! The names of a table: its own, its columns', its root fields'.

use std::sync::Arc;

use crate::catalog::model as db;
use crate::config::NamingConvention;
use crate::metadata::table::{RootName, RootNames as WrittenRoots, TableConfiguration};
use crate::schema::naming::{Naming, Stem, is_graphql_name};
use crate::schema::scalars::Scalars;
use crate::schema::types::RootKind;

use super::{ColumnType, RootNames, SourceId, TrackedColumn};

/// The GraphQL name of a table; an error says why it has none.
pub(super) fn name_of(
    convention: NamingConvention,
    expose: &[String],
    table: &db::Table,
    configuration: &TableConfiguration,
) -> Result<Stem, String> {
    if let Some(custom) = &configuration.custom_name {
        return if is_graphql_name(custom) {
            Ok(Stem::given(convention, custom.clone()))
        } else {
            Err(format!("the custom name \"{custom}\" is not a valid GraphQL name"))
        };
    }
    Stem::of(convention, expose, table).ok_or_else(|| {
        format!(
            "the table \"{}\" has no name that GraphQL allows; give it a custom_name",
            table.name
        )
    })
}

impl RootNames {
    pub(super) fn of(table: &Stem, written: &WrittenRoots, naming: &Naming) -> Self {
        RootNames(RootKind::ALL.map(|kind| {
            let given = written_name(written, kind);
            let custom = given.and_then(RootName::name).filter(|name| is_graphql_name(name));
            let comment = given.and_then(RootName::comment).map(str::to_owned);
            let name = custom.map_or_else(|| kind.name(table), |custom| custom.to_string());
            (naming.root_field(&name), comment)
        }))
    }
}

fn written_name(written: &WrittenRoots, kind: RootKind) -> Option<&RootName> {
    match kind {
        RootKind::Select => written.select.as_ref(),
        RootKind::SelectByPk => written.select_by_pk.as_ref(),
        RootKind::SelectAggregate => written.select_aggregate.as_ref(),
        RootKind::SelectStream => written.select_stream.as_ref(),
        RootKind::Insert => written.insert.as_ref(),
        RootKind::InsertOne => written.insert_one.as_ref(),
        RootKind::Update => written.update.as_ref(),
        RootKind::UpdateByPk => written.update_by_pk.as_ref(),
        RootKind::UpdateMany => written.update_many.as_ref(),
        RootKind::Delete => written.delete.as_ref(),
        RootKind::DeleteByPk => written.delete_by_pk.as_ref(),
    }
}

/// The columns under their names; `Err` names one that the table lacks.
pub(super) fn columns_of(
    source: SourceId,
    convention: NamingConvention,
    table: &db::Table,
    configuration: &TableConfiguration,
    scalars: &Scalars,
) -> Result<Vec<TrackedColumn>, String> {
    let named = configuration.custom_column_names.keys().chain(configuration.column_config.keys());
    for name in named {
        if !table.columns.iter().any(|column| column.name == *name) {
            return Err(format!("the column \"{name}\" of the configuration does not exist"));
        }
    }
    let mut taken = std::collections::HashSet::new();
    let mut columns = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let custom: Option<&Arc<str>> = configuration.column_name(&column.name);
        let name = custom.cloned().unwrap_or_else(|| convention.field(&column.name));
        let legal = is_graphql_name(&name);
        if legal && !taken.insert(name.clone()) {
            return Err(format!("two columns have the GraphQL name \"{name}\""));
        }
        let comment = configuration
            .column_config
            .get(&column.name)
            .and_then(|config| config.comment.clone())
            .or_else(|| column.comment.clone());
        columns.push(TrackedColumn {
            name: legal.then(|| name.clone()),
            description: comment.filter(|comment| !comment.is_empty()),
            ty: scalars.of_type(source, column.type_oid).map(|s| ColumnType::Scalar(s.id)),
        });
    }
    Ok(columns)
}
