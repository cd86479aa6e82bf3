//! `select` and `count`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::admin::command::{Output, args_path, arguments, output};
use crate::base::{ApiError, Code, JsonPath};
use crate::graphql::OperationKind;
use crate::metadata::QualifiedName;
use crate::operation::input::Operand;
use crate::operation::model::{
    AggregateField, AggregateSelected, Aggregated, FunctionField, FunctionSelected, ListArgs,
    OrderItem, OrderKey, Read, RootSelection, RowSource, Rows, Selected, SelectedField,
};
use crate::schema::access::SelectAccess;
use crate::schema::predicate::{CompareValue, Predicate, Subject as Left};
use crate::schema::tracked::{Cardinality, TrackedId, conditions};

use super::{Subject, as_output, in_condition};

/// Selections inside each other.
const MAX_DEPTH: usize = 32;

#[derive(Deserialize)]
struct Select {
    columns: Vec<Value>,
    #[serde(default, rename = "where")]
    filter: Option<Value>,
    #[serde(default)]
    order_by: Option<Value>,
    #[serde(default)]
    limit: Option<Value>,
    #[serde(default)]
    offset: Option<Value>,
}

pub(super) async fn select(subject: &Subject<'_>, args: &Value) -> Result<Output, ApiError> {
    let select: Select = arguments(args)?;
    let table = subject.table;
    let path = args_path();
    let selection = subject.selection(table, &select.columns, &path.clone().key("columns"), 0)?;
    let list = subject.list(table, &select, &path)?;
    let rows = Rows { table, source: RowSource::Table, args: list, selection };
    let root = RootSelection::Read(Box::new(Read::Many(rows)));
    as_output(&subject.run(OperationKind::Query, root, Vec::new()).await?)
}

#[derive(Deserialize)]
struct Count {
    #[serde(default)]
    distinct: Option<Vec<String>>,
    #[serde(default, rename = "where")]
    filter: Option<Value>,
}

pub(super) async fn count(subject: &Subject<'_>, args: &Value) -> Result<Output, ApiError> {
    let count: Count = arguments(args)?;
    let table = subject.table;
    let path = args_path();
    let mut columns = Vec::new();
    for name in count.distinct.iter().flatten() {
        columns.push(subject.selectable(table, name, &path.clone().key("distinct"))?);
    }
    let filter = match &count.filter {
        Some(filter) => subject.condition(table, filter, &path.key("where"))?,
        None => Predicate::TRUE,
    };
    subject.selects(table)?;
    let distinct = !columns.is_empty();
    let field = FunctionField::Count { columns, distinct };
    let count = AggregateField::Aggregate(vec![FunctionSelected { key: "count".into(), field }]);
    let aggregated = Aggregated {
        table,
        source: RowSource::Table,
        args: ListArgs { filter, ..ListArgs::default() },
        selection: vec![AggregateSelected { key: "aggregate".into(), field: count }],
    };
    let root = RootSelection::Read(Box::new(Read::Aggregate(aggregated)));
    let bytes = subject.run(OperationKind::Query, root, Vec::new()).await?;
    let answer: Value =
        serde_json::from_slice(&bytes).map_err(|error| ApiError::internal(error.to_string()))?;
    let count = answer.pointer("/aggregate/count").cloned().unwrap_or(Value::Null);
    output(&json!({"count": count}))
}

impl Subject<'_> {
    /// What the role may select of a table.
    pub(super) fn selects(&self, table: TrackedId) -> Result<&SelectAccess, ApiError> {
        self.schema.types.select(table).ok_or_else(|| self.denied("select", &self.db_name(table)))
    }

    fn db_name(&self, table: TrackedId) -> QualifiedName {
        match self.schema.table(table) {
            Some(table) => QualifiedName::new(table.schema.clone(), table.name.clone()),
            None => self.name.clone(),
        }
    }

    /// A column that the role may select.
    pub(super) fn selectable(
        &self,
        table: TrackedId,
        name: &str,
        path: &JsonPath,
    ) -> Result<crate::catalog::model::ColumnId, ApiError> {
        let access = self.selects(table)?;
        let column = self.column(table, name);
        match column.filter(|column| access.columns.contains(*column)) {
            Some(column) => Ok(column),
            None if column.is_some() || !self.is_admin() => Err(ApiError::new(
                Code::PermissionDenied,
                format!(
                    "role \"{}\" does not have permission to select column \"{name}\"",
                    self.session.role
                ),
            )
            .at(path.clone())),
            None => Err(ApiError::new(
                Code::NotExists,
                format!("column \"{name}\" does not exist in table \"{}\"", self.db_name(table)),
            )
            .at(path.clone())),
        }
    }

    /// `columns`: names, `"*"`, and objects for relationships.
    fn selection(
        &self,
        table: TrackedId,
        columns: &[Value],
        path: &JsonPath,
        depth: usize,
    ) -> Result<Vec<Selected>, ApiError> {
        if depth > MAX_DEPTH {
            return Err(ApiError::new(
                Code::DepthLimitExceeded,
                "the selection is nested too deep",
            )
            .at(path.clone()));
        }
        let access = self.selects(table)?;
        let mut out: Vec<Selected> = Vec::new();
        for (index, item) in columns.iter().enumerate() {
            let path = path.clone().index(index);
            match item {
                Value::String(all) if all == "*" => {
                    let Some(db) = self.schema.table(table) else { continue };
                    for column in &db.columns {
                        if access.columns.contains(column.id) {
                            out.push(Selected {
                                key: column.name.clone(),
                                field: SelectedField::Column {
                                    column: column.id,
                                    path: None,
                                    upper_case: false,
                                },
                            });
                        }
                    }
                }
                Value::String(name) => {
                    let column = self.selectable(table, name, &path)?;
                    let field = SelectedField::Column { column, path: None, upper_case: false };
                    out.push(Selected { key: name.as_str().into(), field });
                }
                Value::Object(map) => out.push(self.relationship(table, map, &path, depth)?),
                other => {
                    return Err(ApiError::new(
                        Code::ParseFailed,
                        format!("expected a column or a relationship, but found {other}"),
                    )
                    .at(path));
                }
            }
        }
        Ok(out)
    }

    fn relationship(
        &self,
        table: TrackedId,
        map: &Map<String, Value>,
        path: &JsonPath,
        depth: usize,
    ) -> Result<Selected, ApiError> {
        let Some(name) = map.get("name").and_then(Value::as_str) else {
            return Err(ApiError::new(Code::ParseFailed, "key \"name\" not found").at(path.clone()));
        };
        let key = map.get("alias").and_then(Value::as_str).unwrap_or(name);
        let shown = self.shown(table)?;
        let Some(index) = shown.relationship_named(name) else {
            return Err(ApiError::new(
                Code::NotExists,
                format!("\"{name}\" does not exist in table \"{}\"", self.db_name(table)),
            )
            .at(path.clone()));
        };
        let Some(relationship) = shown.relationships.get(index) else {
            return Err(ApiError::internal("a relationship is gone"));
        };
        let select: Select = arguments(&Value::Object(map.clone()))?;
        let target = relationship.target;
        let columns = path.clone().key("columns");
        let selection = self.selection(target, &select.columns, &columns, depth + 1)?;
        let args = match relationship.cardinality {
            Cardinality::Array => self.list(target, &select, path)?,
            Cardinality::Object => ListArgs::default(),
        };
        let field = SelectedField::Relationship { index, args, selection };
        Ok(Selected { key: key.into(), field })
    }

    fn list(
        &self,
        table: TrackedId,
        select: &Select,
        path: &JsonPath,
    ) -> Result<ListArgs, ApiError> {
        let filter = match &select.filter {
            None => Predicate::TRUE,
            Some(filter) => self.condition(table, filter, &path.clone().key("where"))?,
        };
        let mut order_by = Vec::new();
        if let Some(order) = &select.order_by {
            let path = path.clone().key("order_by");
            let items = match order {
                Value::Array(items) => items.as_slice(),
                single => std::slice::from_ref(single),
            };
            for item in items {
                order_by.push(self.order(table, item, &path)?);
            }
        }
        Ok(ListArgs {
            distinct_on: Vec::new(),
            filter,
            order_by,
            limit: count_of(select.limit.as_ref(), "limit", path)?,
            offset: count_of(select.offset.as_ref(), "offset", path)?,
        })
    }

    /// `"name"`, `"+name"`, `"-author.name"`, or `{column, type, nulls}`.
    fn order(
        &self,
        table: TrackedId,
        item: &Value,
        path: &JsonPath,
    ) -> Result<OrderItem, ApiError> {
        let wrong =
            || ApiError::new(Code::ParseFailed, format!("cannot order by {item}")).at(path.clone());
        let (name, descending, nulls_first) = match item {
            Value::String(text) => match text.strip_prefix('-') {
                Some(name) => (name, true, None),
                None => (text.strip_prefix('+').unwrap_or(text), false, None),
            },
            Value::Object(map) => {
                let name = map.get("column").and_then(Value::as_str).ok_or_else(wrong)?;
                let descending = map.get("type").and_then(Value::as_str) == Some("desc");
                let nulls = map.get("nulls").and_then(Value::as_str);
                (name, descending, nulls.map(|nulls| nulls == "first"))
            }
            _ => return Err(wrong()),
        };
        let mut through = Vec::new();
        let mut at = table;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                let column = self.selectable(at, part, path)?;
                let key = OrderKey::Column(column);
                return Ok(OrderItem { through, key, descending, nulls_first });
            }
            let shown = self.shown(at)?;
            let index = shown.relationship_named(part).ok_or_else(wrong)?;
            let relationship = shown.relationships.get(index).ok_or_else(wrong)?;
            if relationship.cardinality != Cardinality::Object {
                return Err(wrong());
            }
            through.push(index);
            at = relationship.target;
        }
        Err(wrong())
    }

    /// `where`: a condition that names only what the role may select.
    pub(super) fn condition(
        &self,
        table: TrackedId,
        json: &Value,
        path: &JsonPath,
    ) -> Result<Predicate, ApiError> {
        let predicate = conditions::parse(self.schema.tracked(), table, json)
            .map_err(|error| in_condition(path, error))?;
        self.permits(table, table, &predicate, path)?;
        Ok(predicate)
    }

    fn permits(
        &self,
        root: TrackedId,
        table: TrackedId,
        predicate: &Predicate,
        path: &JsonPath,
    ) -> Result<(), ApiError> {
        match predicate {
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter().try_for_each(|part| self.permits(root, table, part, path))
            }
            Predicate::Not(inner) => self.permits(root, table, inner, path),
            Predicate::Compare { subject, .. } | Predicate::IsNull { subject, .. } => {
                let access = self.selects(table)?;
                let seen = match subject {
                    Left::Column(column) | Left::Cast(column, _) => {
                        access.columns.contains(*column)
                    }
                    Left::Computed(index) => access.computed.allows(*index),
                };
                // A column on the right tells as much as one on the left.
                let other = match predicate {
                    Predicate::Compare { value: CompareValue::Column(other), .. } => {
                        let of = if other.root { root } else { table };
                        self.selects(of)?.columns.contains(other.column)
                    }
                    _ => true,
                };
                if seen && other {
                    return Ok(());
                }
                Err(ApiError::new(
                    Code::PermissionDenied,
                    format!(
                        "role \"{}\" does not have permission to select a column of the condition",
                        self.session.role
                    ),
                )
                .at(path.clone()))
            }
            Predicate::Related { relationship, inner } => {
                let target = self.schema.relationship(table, *relationship);
                let target = target.ok_or_else(|| ApiError::internal("a relationship is gone"))?;
                self.selects(target.target)?;
                self.permits(root, target.target, inner, path)
            }
            Predicate::Exists { table, inner } => {
                self.selects(*table)?;
                self.permits(root, *table, inner, path)
            }
            Predicate::ComputedRows { .. } | Predicate::Aggregate(_) => Err(ApiError::new(
                Code::NotSupported,
                "the condition uses something that this command does not know",
            )
            .at(path.clone())),
        }
    }
}

/// `limit` and `offset`.
fn count_of(
    value: Option<&Value>,
    name: &'static str,
    path: &JsonPath,
) -> Result<Option<Operand>, ApiError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    match value.as_i64() {
        Some(count) if count >= 0 => Ok(Some(Operand::Const(count.to_string().into()))),
        Some(_) => Err(ApiError::new(Code::NotSupported, "unexpected negative value")
            .at(path.clone().key(name))),
        None => Err(ApiError::new(
            Code::ParseFailed,
            format!(
                "parsing Int failed, expected Number, but encountered {}",
                match value {
                    Value::String(_) => "String",
                    Value::Bool(_) => "Boolean",
                    Value::Array(_) => "Array",
                    Value::Object(_) => "Object",
                    _ => "a number that is no integer",
                }
            ),
        )
        .at(JsonPath::root().key(name))),
    }
}
