//! The rows of tables that metadata calls enums.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::model::{Catalog, Table};
use crate::metadata::{QualifiedName, Source};
use crate::pg::{PgError, SystemTx};
use crate::schema::naming::is_graphql_name;
use crate::schema::tracked::EnumRow;
use crate::sql::{
    Alias, AliasAllocator, Direction, Expr, From, Ident, InvalidIdent, OrderBy, Select, SelectItem,
};

/// The rows of each enum table, or why it is none.
pub(super) type Enums = HashMap<QualifiedName, Result<Arc<[EnumRow]>, String>>;

/// An enum is for words, not for data.
const MAX_ROWS: usize = 10_000;

/// Reads the enum tables of a source that are not in `known`.
pub(super) async fn read(
    tx: &SystemTx,
    catalog: &Catalog,
    source: &Source,
    known: &mut Enums,
) -> Result<(), PgError> {
    known.retain(|name, _| source.table(name).is_some_and(|table| table.is_enum));
    for table in source.tables.iter().filter(|table| table.is_enum) {
        let name = &table.table;
        if known.contains_key(name) {
            continue;
        }
        let Some(found) = catalog.table_named(&name.schema, &name.name) else { continue };
        let rows = match shape(catalog, found) {
            Ok((value, comment)) => rows(tx, found, &value, comment.as_ref()).await?,
            Err(reasons) => Err(reasons),
        };
        let rows = rows.map(Into::into).map_err(|reasons| refused(name, &reasons));
        known.insert(name.clone(), rows);
    }
    Ok(())
}

fn refused(name: &QualifiedName, reasons: &[String]) -> String {
    let listed = match reasons {
        [single] => format!("because {single}"),
        several => {
            let lines: Vec<String> = several.iter().map(|r| format!("  • {r}\n")).collect();
            format!("for the following reasons:\n{}", lines.concat())
        }
    };
    format!("the table \"{name}\" cannot be used as an enum {listed}")
}

type Columns = (Arc<str>, Option<Arc<str>>);

/// The columns of value and comment.
fn shape(catalog: &Catalog, table: &Table) -> Result<Columns, Vec<String>> {
    let mut reasons = Vec::new();
    let is_text = |oid| {
        catalog.types.get(&oid).is_some_and(|ty| {
            &*ty.schema == "pg_catalog" && matches!(&*ty.name, "text" | "varchar")
        })
    };
    let type_name = |oid| {
        catalog.types.get(&oid).map_or_else(|| "unknown".to_owned(), |ty| ty.name.to_string())
    };
    let mut value = None;
    match &table.primary_key {
        None => reasons.push("the table must have a primary key".to_owned()),
        Some(key) => {
            let columns: Vec<_> = key.columns.iter().filter_map(|id| table.column(*id)).collect();
            match columns.as_slice() {
                [column] if is_text(column.type_oid) => value = Some(*column),
                [column] => reasons.push(format!(
                    "the table’s primary key (\"{}\") must have type text, not type {}",
                    column.name,
                    type_name(column.type_oid)
                )),
                several => {
                    let names: Vec<String> =
                        several.iter().map(|column| format!("\"{}\"", column.name)).collect();
                    reasons.push(format!(
                        "the table’s primary key must not span multiple columns ({})",
                        names.join(", ")
                    ));
                }
            }
        }
    }
    let others: Vec<_> = table
        .columns
        .iter()
        .filter(|column| value.is_none_or(|value| value.id != column.id))
        .collect();
    let comment = match others.as_slice() {
        _ if value.is_none() => None,
        [] => None,
        [column] if is_text(column.type_oid) => Some(column.name.clone()),
        [column] => {
            reasons.push(format!(
                "the table’s comment column (\"{}\") must have type text, not type {}",
                column.name,
                type_name(column.type_oid)
            ));
            None
        }
        several => {
            let mut names: Vec<&str> = table.columns.iter().map(|column| &*column.name).collect();
            names.sort_unstable();
            reasons.push(format!(
                "the table must have exactly one primary key and optionally one comment column, not {} columns ({})",
                several.len() + 1,
                names.join(", ")
            ));
            None
        }
    };
    match (value, reasons.is_empty()) {
        (Some(value), true) => Ok((value.name.clone(), comment)),
        _ => Err(reasons),
    }
}

/// The rows, or what is wrong with them.
async fn rows(
    tx: &SystemTx,
    table: &Table,
    value: &Arc<str>,
    comment: Option<&Arc<str>>,
) -> Result<Result<Vec<EnumRow>, Vec<String>>, PgError> {
    let sql = match statement(table, value, comment) {
        Ok(select) => select.to_string(),
        Err(error) => return Ok(Err(vec![error.to_string()])),
    };
    let found = tx.query_rows(&sql, &[]).await?;
    let mut out = Vec::with_capacity(found.len());
    let mut wrong = Vec::new();
    for row in found {
        let mut cells = row.into_iter();
        let value = cells.next().flatten().unwrap_or_default();
        let description = cells.next().flatten().filter(|text| !text.is_empty());
        if is_graphql_name(&value) && !matches!(&*value, "true" | "false" | "null") {
            out.push(EnumRow { value: value.into(), description });
        } else {
            wrong.push(format!("\"{value}\""));
        }
    }
    Ok(if !wrong.is_empty() {
        Err(vec![format!(
            "the value{} {} {} not valid GraphQL enum value name{}",
            if wrong.len() == 1 { "" } else { "s" },
            wrong.join(", "),
            if wrong.len() == 1 { "is" } else { "are" },
            if wrong.len() == 1 { "" } else { "s" },
        )])
    } else if out.is_empty() {
        Err(vec!["the table must have at least one row".to_owned()])
    } else if out.len() > MAX_ROWS {
        Err(vec![format!("the table has more than {MAX_ROWS} rows")])
    } else {
        Ok(out)
    })
}

fn statement(
    table: &Table,
    value: &Arc<str>,
    comment: Option<&Arc<str>>,
) -> Result<Select, InvalidIdent> {
    let alias: Alias = AliasAllocator::default().fresh();
    let text = crate::sql::SqlType {
        name: crate::sql::QualifiedName::new(&"pg_catalog".into(), &"text".into())?,
        array: false,
    };
    let column = |name: &Arc<str>| -> Result<Expr, InvalidIdent> {
        Ok(Expr::Cast(Box::new(Expr::Column(alias, Ident::new(name.clone())?)), text.clone()))
    };
    let mut items = vec![SelectItem { expr: column(value)?, name: None }];
    if let Some(comment) = comment {
        items.push(SelectItem { expr: column(comment)?, name: None });
    }
    Ok(Select {
        items,
        from: Some(From::Table {
            name: crate::sql::QualifiedName::new(&table.schema, &table.name)?,
            alias,
        }),
        order_by: vec![OrderBy { expr: column(value)?, direction: Direction::Asc, nulls: None }],
        limit: Some(Expr::Int(i64::try_from(MAX_ROWS).unwrap_or(i64::MAX) + 1)),
        ..Select::default()
    })
}
