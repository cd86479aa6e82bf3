//! Reads: each root is a scalar sub-select of the one statement.
//!
//! ```sql
//! SELECT row_to_json(_0.*) FROM (SELECT
//!   (SELECT coalesce(json_agg(row_to_json(_2.*)), '[]') FROM (
//!      SELECT _1."id" AS "id", (…) AS "comments"
//!      FROM "app"."tasks" AS _1 WHERE … ORDER BY … LIMIT …) AS _2) AS "tasks"
//! ) AS _0
//! ```
//!
//! Correlated sub-selects, `row_to_json` over a sub-select and ordering inside
//! it are what measured best.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::catalog::model::{ColumnId, Table, TableId};
use crate::operation::input::Operand;
use crate::operation::model::{
    BoolExp, CompareValue, ListArgs, Operation, OrderItem, RootField, Selected, SelectedField,
};
use crate::schema::RoleSchema;
use crate::schema::relationships::Cardinality;
use crate::schema::types::{Comparison, ScalarType};
use crate::sql::ident::MAX_IDENT_BYTES;
use crate::sql::{
    Alias, AliasAllocator, BinaryOp, Direction, Expr, From, Ident, Nulls, OrderBy, ParamId,
    QualifiedName, Select, SelectItem, SqlType,
};

use super::{Answer, Plan, PlanError, Slot};

/// What Postgres lets one SELECT return, with some room.
const MAX_COLUMNS: usize = 1_600;

/// What the wire protocol can count.
const MAX_PARAMETERS: usize = 65_535;

/// Plans a query. `max_rows` caps every list.
pub fn plan(
    schema: &RoleSchema,
    operation: Operation,
    max_rows: Option<u64>,
) -> Result<Plan, PlanError> {
    let mut planner = Planner {
        schema,
        max_rows,
        aliases: AliasAllocator::default(),
        slots: Vec::new(),
        params: HashMap::new(),
        tables: BTreeSet::new(),
    };
    let outer = planner.aliases.fresh();
    let mut fields = Vec::new();
    let mut introspects = false;
    let mut reads = false;
    for root in &operation.roots {
        let expr = match &root.field {
            RootField::Introspection => {
                introspects = true;
                continue;
            }
            RootField::Typename => Expr::Text(schema.types.name(schema.query).to_owned()),
            RootField::NothingAvailable => Expr::Text("There are no queries available to the current role. Either there are no sources or remote schemas configured, or the current role doesn't have the required permissions.".to_owned()),
            RootField::Many { table, args, selection } => {
                reads = true;
                planner.list(*table, &[], args, selection)?
            }
            RootField::ByPk { table, key, selection } => {
                reads = true;
                planner.by_key(*table, key, selection)?
            }
        };
        fields.push((root.key.clone(), expr));
    }
    if planner.slots.len() > MAX_PARAMETERS {
        return Err(PlanError::TooManyParameters);
    }
    let answer = if reads {
        let object = object(outer, fields, Select::default())?;
        let text: Arc<str> = object.to_string().into();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Answer::Statement { text, fingerprint: hasher.finish() }
    } else {
        Answer::Constant(constant(&fields)?)
    };
    let mut required = Vec::new();
    for table in &planner.tables {
        let name = schema.table_name(*table).cloned().unwrap_or_else(|| "".into());
        for setting in schema.required_settings(*table) {
            required.push((name.clone(), setting.clone()));
        }
    }
    Ok(Plan {
        kind: operation.kind,
        operation_name: operation.name,
        answer,
        introspects,
        keys: operation.roots.into_iter().map(|root| root.key).collect(),
        slots: planner.slots,
        non_negative: operation.non_negative,
        required,
        runs: AtomicU32::new(0),
    })
}

/// `{…}` of roots that need no database.
fn constant(fields: &[(Arc<str>, Expr)]) -> Result<bytes::Bytes, PlanError> {
    let mut map = serde_json::Map::new();
    for (key, expr) in fields {
        let Expr::Text(text) = expr else {
            return Err(PlanError::Missing("the text of a constant root"));
        };
        map.insert(key.to_string(), text.as_str().into());
    }
    Ok(serde_json::Value::Object(map).to_string().into())
}

struct Planner<'a> {
    schema: &'a RoleSchema,
    max_rows: Option<u64>,
    aliases: AliasAllocator,
    slots: Vec<Slot>,
    params: HashMap<(Slot, SqlType), ParamId>,
    tables: BTreeSet<TableId>,
}

/// One equality of a join: the outer row's alias, column and table, and the
/// inner row's column.
type JoinPair = (Alias, ColumnId, TableId, ColumnId);

impl<'a> Planner<'a> {
    fn table(&self, id: TableId) -> Result<&'a Table, PlanError> {
        self.schema.table(id).ok_or(PlanError::Missing("a table"))
    }

    fn column(&self, alias: Alias, table: TableId, id: ColumnId) -> Result<Expr, PlanError> {
        let column = self.table(table)?.column(id).ok_or(PlanError::Missing("a column"))?;
        Ok(Expr::Column(alias, Ident::new(column.name.clone())?))
    }

    fn scalar(&self, table: TableId, id: ColumnId) -> Result<&'a ScalarType, PlanError> {
        let column = self.schema.column(table, id).ok_or(PlanError::Missing("a column"))?;
        self.schema.scalar(column).ok_or(PlanError::Missing("a scalar"))
    }

    fn from(&mut self, id: TableId, alias: Alias) -> Result<From, PlanError> {
        let table = self.table(id)?;
        self.tables.insert(id);
        Ok(From::Table { name: QualifiedName::new(&table.schema, &table.name)?, alias })
    }

    fn param(&mut self, operand: &Operand, ty: SqlType, at_most: Option<u64>) -> Expr {
        let slot = Slot { operand: operand.clone(), at_most };
        let next = self.slots.len();
        let id = *self.params.entry((slot.clone(), ty.clone())).or_insert(ParamId(next));
        if id.0 == next {
            self.slots.push(slot);
        }
        Expr::Param(id, ty)
    }

    /// A row count. One that the document spells out is a literal, since the
    /// planner has to guess what a parameter will be.
    fn integer(&mut self, operand: &Operand, at_most: Option<u64>) -> Result<Expr, PlanError> {
        if let Operand::Const(text) = operand
            && let Ok(value) = text.parse::<u64>()
        {
            let value = at_most.map_or(value, |most| value.min(most));
            return Ok(Expr::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }
        let ty = SqlType {
            name: QualifiedName::new(&"pg_catalog".into(), &"int8".into())?,
            array: false,
        };
        Ok(self.param(operand, ty, at_most))
    }

    /// The rows of a table as a JSON array.
    fn list(
        &mut self,
        table: TableId,
        join: &[JoinPair],
        args: &ListArgs,
        selection: &[Selected],
    ) -> Result<Expr, PlanError> {
        let alias = self.aliases.fresh();
        let row = self.aliases.fresh();
        let from = self.from(table, alias)?;
        let mut conditions = self.join(join, alias, table)?;
        conditions.push(self.bool_exp(alias, table, &args.filter)?);
        let order_by = args
            .order_by
            .iter()
            .map(|item| self.order_item(alias, table, item))
            .collect::<Result<_, _>>()?;
        let limit = match (&args.limit, self.max_rows) {
            (Some(limit), cap) => Some(self.integer(limit, cap)?),
            (None, Some(cap)) => Some(Expr::Int(i64::try_from(cap).unwrap_or(i64::MAX))),
            (None, None) => None,
        };
        let offset = args.offset.as_ref().map(|offset| self.integer(offset, None)).transpose()?;
        let distinct_on = args
            .distinct_on
            .iter()
            .map(|column| self.column(alias, table, *column))
            .collect::<Result<_, _>>()?;
        let base = Select {
            distinct_on,
            from: Some(from),
            filter: Some(Expr::and(conditions)),
            order_by,
            limit,
            offset,
            ..Select::default()
        };
        let fields = self.fields(alias, table, selection)?;
        let (value, source) = record(row, fields, base)?;
        let aggregate =
            Expr::Coalesce(vec![Expr::Call("json_agg", vec![value]), Expr::Text("[]".to_owned())]);
        Ok(Expr::Scalar(Box::new(Select {
            items: vec![SelectItem { expr: aggregate, name: None }],
            from: Some(source),
            ..Select::default()
        })))
    }

    /// At most one row as a JSON object, or null.
    fn one(
        &mut self,
        table: TableId,
        alias: Alias,
        conditions: Vec<Expr>,
        selection: &[Selected],
    ) -> Result<Expr, PlanError> {
        let row = self.aliases.fresh();
        let base = Select {
            from: Some(self.from(table, alias)?),
            filter: Some(Expr::and(conditions)),
            ..Select::default()
        };
        let fields = self.fields(alias, table, selection)?;
        Ok(Expr::Scalar(Box::new(object(row, fields, base)?)))
    }

    fn by_key(
        &mut self,
        table: TableId,
        key: &[(ColumnId, Operand)],
        selection: &[Selected],
    ) -> Result<Expr, PlanError> {
        let alias = self.aliases.fresh();
        let mut conditions = Vec::with_capacity(key.len());
        for (column, operand) in key {
            let value = CompareValue::One(operand.clone());
            conditions.push(self.compare(alias, table, *column, Comparison::Eq, &value)?);
        }
        self.one(table, alias, conditions, selection)
    }

    fn join(
        &self,
        join: &[JoinPair],
        alias: Alias,
        table: TableId,
    ) -> Result<Vec<Expr>, PlanError> {
        join.iter()
            .map(|(outer, outer_column, outer_table, inner_column)| {
                let op = self.operator(*outer_table, *outer_column, "=")?;
                Ok(Expr::Binary(
                    Box::new(self.column(alias, table, *inner_column)?),
                    op,
                    Box::new(self.column(*outer, *outer_table, *outer_column)?),
                ))
            })
            .collect()
    }

    fn operator(
        &self,
        table: TableId,
        column: ColumnId,
        symbol: &'static str,
    ) -> Result<BinaryOp, PlanError> {
        let scalar = self.scalar(table, column)?;
        Ok(BinaryOp { schema: scalar.operators.schema.clone(), symbol })
    }

    /// The join conditions of a relationship, and its other side.
    fn relationship(
        &self,
        alias: Alias,
        table: TableId,
        index: usize,
    ) -> Result<(TableId, Cardinality, Vec<JoinPair>), PlanError> {
        let relationship =
            self.schema.relationship(table, index).ok_or(PlanError::Missing("a relationship"))?;
        let join =
            relationship.join.iter().map(|(here, there)| (alias, *here, table, *there)).collect();
        Ok((relationship.target, relationship.cardinality, join))
    }

    fn fields(
        &mut self,
        alias: Alias,
        table: TableId,
        selection: &[Selected],
    ) -> Result<Vec<(Arc<str>, Expr)>, PlanError> {
        let mut out = Vec::with_capacity(selection.len());
        for selected in selection {
            let expr = match &selected.field {
                SelectedField::Typename(name) => Expr::Text(name.to_string()),
                SelectedField::Column(column) => self.column(alias, table, *column)?,
                SelectedField::Relationship { index, args, selection } => {
                    let (target, cardinality, join) = self.relationship(alias, table, *index)?;
                    match cardinality {
                        Cardinality::Array => self.list(target, &join, args, selection)?,
                        Cardinality::Object => {
                            let inner = self.aliases.fresh();
                            let conditions = self.join(&join, inner, target)?;
                            self.one(target, inner, conditions, selection)?
                        }
                    }
                }
            };
            out.push((selected.key.clone(), expr));
        }
        Ok(out)
    }

    fn bool_exp(&mut self, alias: Alias, table: TableId, exp: &BoolExp) -> Result<Expr, PlanError> {
        Ok(match exp {
            BoolExp::And(parts) => Expr::and(self.bool_exps(alias, table, parts)?),
            BoolExp::Or(parts) => Expr::or(self.bool_exps(alias, table, parts)?),
            BoolExp::Not(inner) => Expr::negate(self.bool_exp(alias, table, inner)?),
            BoolExp::Compare { column, comparison, value } => {
                self.compare(alias, table, *column, *comparison, value)?
            }
            BoolExp::IsNull { column, negated } => {
                let column = Box::new(self.column(alias, table, *column)?);
                if *negated { Expr::IsNotNull(column) } else { Expr::IsNull(column) }
            }
            BoolExp::Exists { relationship, inner } => {
                let (target, _, join) = self.relationship(alias, table, *relationship)?;
                let other = self.aliases.fresh();
                let from = self.from(target, other)?;
                let mut conditions = self.join(&join, other, target)?;
                conditions.push(self.bool_exp(other, target, inner)?);
                Expr::Exists(Box::new(Select {
                    items: vec![SelectItem { expr: Expr::Int(1), name: None }],
                    from: Some(from),
                    filter: Some(Expr::and(conditions)),
                    ..Select::default()
                }))
            }
        })
    }

    fn bool_exps(
        &mut self,
        alias: Alias,
        table: TableId,
        parts: &[BoolExp],
    ) -> Result<Vec<Expr>, PlanError> {
        parts.iter().map(|part| self.bool_exp(alias, table, part)).collect()
    }

    fn compare(
        &mut self,
        alias: Alias,
        table: TableId,
        column: ColumnId,
        comparison: Comparison,
        value: &CompareValue,
    ) -> Result<Expr, PlanError> {
        let left = Box::new(self.column(alias, table, column)?);
        let scalar = self.scalar(table, column)?;
        let op = BinaryOp { schema: scalar.operators.schema.clone(), symbol: symbol(comparison) };
        let one = scalar.sql.clone();
        let many = SqlType { array: true, ..one.clone() };
        Ok(match (comparison, value) {
            (Comparison::In, CompareValue::Array(operand)) => {
                Expr::Any(left, op, Box::new(self.param(operand, many, None)))
            }
            (Comparison::Nin, CompareValue::Array(operand)) => {
                Expr::All(left, op, Box::new(self.param(operand, many, None)))
            }
            (Comparison::In | Comparison::Nin, CompareValue::Items(operands)) => {
                let items =
                    operands.iter().map(|operand| self.param(operand, one.clone(), None)).collect();
                let array = Box::new(Expr::Array(items, many));
                if comparison == Comparison::In {
                    Expr::Any(left, op, array)
                } else {
                    Expr::All(left, op, array)
                }
            }
            (comparison, CompareValue::One(operand)) => {
                // Only what is printed may become a parameter.
                let right = match comparison {
                    Comparison::Similar | Comparison::Nsimilar => {
                        Expr::Call("similar_to_escape", vec![self.text_param(operand)?])
                    }
                    _ if is_pattern(comparison) && scalar.operators.schema.is_none() => {
                        self.text_param(operand)?
                    }
                    _ => self.param(operand, one, None),
                };
                Expr::Binary(left, op, Box::new(right))
            }
            _ => return Err(PlanError::Missing("the operand of an operator")),
        })
    }

    fn text_param(&mut self, operand: &Operand) -> Result<Expr, PlanError> {
        let ty = SqlType {
            name: QualifiedName::new(&"pg_catalog".into(), &"text".into())?,
            array: false,
        };
        Ok(self.param(operand, ty, None))
    }

    fn order_item(
        &mut self,
        alias: Alias,
        table: TableId,
        item: &OrderItem,
    ) -> Result<OrderBy, PlanError> {
        Ok(OrderBy {
            expr: self.order_expr(alias, table, &item.through, item.column)?,
            direction: if item.descending { Direction::Desc } else { Direction::Asc },
            nulls: item.nulls_first.map(|first| if first { Nulls::First } else { Nulls::Last }),
        })
    }

    fn order_expr(
        &mut self,
        alias: Alias,
        table: TableId,
        through: &[usize],
        column: ColumnId,
    ) -> Result<Expr, PlanError> {
        let Some((index, rest)) = through.split_first() else {
            return self.column(alias, table, column);
        };
        let (target, _, join) = self.relationship(alias, table, *index)?;
        let other = self.aliases.fresh();
        let from = self.from(target, other)?;
        let conditions = self.join(&join, other, target)?;
        let expr = self.order_expr(other, target, rest, column)?;
        Ok(Expr::Scalar(Box::new(Select {
            items: vec![SelectItem { expr, name: None }],
            from: Some(from),
            filter: Some(Expr::and(conditions)),
            ..Select::default()
        })))
    }
}

/// `SELECT <json of one row> FROM (<base with fields>) AS row`
fn object(row: Alias, fields: Vec<(Arc<str>, Expr)>, base: Select) -> Result<Select, PlanError> {
    let (value, source) = record(row, fields, base)?;
    Ok(Select {
        items: vec![SelectItem { expr: value, name: None }],
        from: Some(source),
        ..Select::default()
    })
}

/// The JSON object of a row of `base` with `fields`, and the row source.
///
/// Keys are column aliases, as `row_to_json` takes them; where one is longer
/// than Postgres lets a name be, the object is put together as text instead,
/// as where it is empty beside `DISTINCT ON`, which wants something to select.
fn record(
    row: Alias,
    fields: Vec<(Arc<str>, Expr)>,
    mut base: Select,
) -> Result<(Expr, From), PlanError> {
    if fields.len() > MAX_COLUMNS {
        return Err(PlanError::TooManyFields);
    }
    let empty_distinct = fields.is_empty() && !base.distinct_on.is_empty();
    if !empty_distinct && fields.iter().all(|(key, _)| key.len() <= MAX_IDENT_BYTES) {
        for (key, expr) in fields {
            base.items.push(SelectItem { expr, name: Some(Ident::new(key)?) });
        }
        let source = From::Select { select: Box::new(base), alias: row };
        return Ok((Expr::Call("row_to_json", vec![Expr::Row(row)]), source));
    }
    let mut parts = vec![Expr::Text("{".to_owned())];
    for (index, (key, expr)) in fields.into_iter().enumerate() {
        let lead = if index == 0 { "" } else { "," };
        parts.push(Expr::Text(format!("{lead}\"{key}\":")));
        let text = SqlType {
            name: QualifiedName::new(&"pg_catalog".into(), &"text".into())?,
            array: false,
        };
        parts.push(match expr {
            Expr::Text(text) => Expr::Text(serde_json::Value::from(text).to_string()),
            other => Expr::Coalesce(vec![
                Expr::Cast(Box::new(Expr::Call("to_json", vec![other])), text),
                Expr::Text("null".to_owned()),
            ]),
        });
    }
    parts.push(Expr::Text("}".to_owned()));
    // `concat_ws` and its like take at most 100 arguments.
    let mut joined = Expr::Text(String::new());
    for part in parts {
        joined = Expr::Binary(Box::new(joined), BinaryOp::catalog("||"), Box::new(part));
    }
    let json =
        SqlType { name: QualifiedName::new(&"pg_catalog".into(), &"json".into())?, array: false };
    let name = Ident::new("value")?;
    base.items
        .push(SelectItem { expr: Expr::Cast(Box::new(joined), json), name: Some(name.clone()) });
    Ok((Expr::Column(row, name), From::Select { select: Box::new(base), alias: row }))
}

fn is_pattern(comparison: Comparison) -> bool {
    matches!(
        comparison,
        Comparison::Like
            | Comparison::Nlike
            | Comparison::Ilike
            | Comparison::Nilike
            | Comparison::Regex
            | Comparison::Iregex
            | Comparison::Nregex
            | Comparison::Niregex
    )
}

fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Eq | Comparison::In => "=",
        Comparison::Neq | Comparison::Nin => "<>",
        Comparison::Gt => ">",
        Comparison::Gte => ">=",
        Comparison::Lt => "<",
        Comparison::Lte => "<=",
        Comparison::Like => "~~",
        Comparison::Nlike => "!~~",
        Comparison::Ilike => "~~*",
        Comparison::Nilike => "!~~*",
        Comparison::Similar | Comparison::Regex => "~",
        Comparison::Nsimilar | Comparison::Nregex => "!~",
        Comparison::Iregex => "~*",
        Comparison::Niregex => "!~*",
    }
}
