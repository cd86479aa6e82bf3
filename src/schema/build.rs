//! Catalogue + what a role may select → the role's types.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::catalog::model::{Catalog, Column, Table, TableId};
use crate::graphql::Name;
use crate::sql::InvalidIdent;

use super::relationships::{Cardinality, Relationship, Relationships};
use super::scalars::{Scalars, built_in};
use super::types::{
    ArgDef, ArgKind, Comparison, EnumKind, EnumType, EnumValue, FieldDef, FieldKind, InputField,
    InputKind, InputType, ObjectType, ScalarType, TypeDef, TypeId, TypeRef, TypeTable,
};

/// The columns of one table that a role may select, by column position.
#[derive(Debug, Clone)]
pub struct TableAccess {
    pub columns: Vec<bool>,
}

impl TableAccess {
    fn allows(&self, column: crate::catalog::model::ColumnId) -> bool {
        self.columns.get(usize::from(column.0)).copied().unwrap_or(false)
    }
}

/// What the types of all roles are made from.
#[derive(Debug, Clone, Copy)]
pub struct BuildInput<'a> {
    pub catalog: &'a Catalog,
    pub names: &'a [Option<Name>],
    pub relationships: &'a Relationships,
    pub scalars: &'a Scalars,
}

/// The types of one role and the id of `query_root`. `access` is by table id;
/// `None` hides the table.
pub fn build(
    input: BuildInput<'_>,
    access: &[Option<TableAccess>],
) -> Result<(TypeTable, TypeId), InvalidIdent> {
    let mut builder = Builder { input, access, types: TypeTable::default(), shown: HashSet::new() };
    builder.reserve()?;
    let tables = builder.choose_tables();
    builder.shown = tables.iter().map(|table| table.id).collect();
    for table in &tables {
        builder.table_types(table);
    }
    let query = builder.query_root(&tables);
    Ok((builder.types, query))
}

struct Builder<'a> {
    input: BuildInput<'a>,
    access: &'a [Option<TableAccess>],
    types: TypeTable,
    shown: HashSet<TableId>,
}

const ORDER_BY: &str = "order_by";
const QUERY_ROOT: &str = "query_root";

impl<'a> Builder<'a> {
    fn reserve(&mut self) -> Result<(), InvalidIdent> {
        for name in ["String", "Int", "Float", "Boolean"] {
            self.types.add(TypeDef::Scalar(built_in(name)?));
        }
        let mut values = IndexMap::new();
        for (word, descending, nulls_first, description) in [
            ("asc", false, None, "in ascending order, nulls last"),
            ("asc_nulls_first", false, Some(true), "in ascending order, nulls first"),
            ("asc_nulls_last", false, Some(false), "in ascending order, nulls last"),
            ("desc", true, None, "in descending order, nulls first"),
            ("desc_nulls_first", true, Some(true), "in descending order, nulls first"),
            ("desc_nulls_last", true, Some(false), "in descending order, nulls last"),
        ] {
            values.insert(
                Name::from(word),
                EnumValue {
                    description: Some(description.to_owned()),
                    kind: EnumKind::Order { descending, nulls_first },
                },
            );
        }
        self.types.add(TypeDef::Enum(EnumType {
            name: ORDER_BY.into(),
            description: Some("column ordering options".to_owned()),
            values,
        }));
        self.types.add(TypeDef::Object(ObjectType {
            name: QUERY_ROOT.into(),
            description: None,
            fields: IndexMap::new(),
        }));
        // Scalars come before tables, so that a table never takes one's name.
        for (id, table) in self.input.catalog.tables.iter().enumerate() {
            let Some(Some(access)) = self.access.get(id) else { continue };
            for column in table.columns.iter().filter(|column| access.allows(column.id)) {
                if let Some(scalar) = self.input.scalars.get(column.type_oid) {
                    self.types.add(TypeDef::Scalar(ScalarType::clone(scalar)));
                }
            }
        }
        Ok(())
    }

    /// The tables whose generated names are all free.
    fn choose_tables(&self) -> Vec<&'a Table> {
        let mut taken: HashSet<String> =
            self.types.iter().map(|def| def.name().to_string()).collect();
        for def in self.types.iter() {
            if let TypeDef::Scalar(scalar) = def {
                taken.insert(comparison_name(&scalar.name));
            }
        }
        let mut shown = Vec::new();
        for table in &self.input.catalog.tables {
            let Some(name) = self.name(table.id) else { continue };
            if self.columns(table).next().is_none() {
                continue;
            }
            let wanted = [
                name.to_string(),
                format!("{name}_bool_exp"),
                format!("{name}_order_by"),
                format!("{name}_select_column"),
            ];
            if wanted.iter().any(|name| taken.contains(name)) {
                tracing::warn!(
                    table = %table.name, schema = %table.schema,
                    "table left out: one of its type names is taken"
                );
                continue;
            }
            taken.extend(wanted);
            shown.push(table);
        }
        shown
    }

    fn name(&self, id: TableId) -> Option<&'a Name> {
        self.input.names.get(id.0 as usize).and_then(Option::as_ref)
    }

    fn table_access(&self, id: TableId) -> Option<&'a TableAccess> {
        self.access.get(id.0 as usize).and_then(Option::as_ref)
    }

    /// The columns that the role sees and GraphQL can name.
    fn columns(&self, table: &'a Table) -> impl Iterator<Item = (&'a Column, &'a Arc<ScalarType>)> {
        let scalars = self.input.scalars;
        let access = self.table_access(table.id);
        table.columns.iter().filter_map(move |column| {
            let visible = access.is_some_and(|access| access.allows(column.id))
                && super::naming::is_graphql_name(&column.name);
            visible.then(|| scalars.get(column.type_oid).map(|scalar| (column, scalar))).flatten()
        })
    }

    /// The relationships whose both sides the role can join.
    fn relationships(&self, table: &Table) -> impl Iterator<Item = (usize, &'a Relationship)> {
        let here = self.table_access(table.id);
        let access = self.access;
        let shown = &self.shown;
        self.input.relationships.of(table.id).iter().enumerate().filter(move |(_, relationship)| {
            let there = access.get(relationship.target.0 as usize).and_then(Option::as_ref);
            shown.contains(&relationship.target)
                && relationship.join.iter().all(|(local, remote)| {
                    here.is_some_and(|access| access.allows(*local))
                        && there.is_some_and(|access| access.allows(*remote))
                })
        })
    }

    fn id(&self, name: &str) -> TypeId {
        // Every name asked for was added before; 0 is `String`.
        self.types.by_name(name).unwrap_or(TypeId(0))
    }

    fn table_types(&mut self, table: &'a Table) {
        let Some(name) = self.name(table.id).cloned() else { return };
        let object = self.placeholder_object(&name, table.comment.clone());
        let select_column = self.placeholder_enum(&name);
        let bool_exp = self.placeholder_input(&format!("{name}_bool_exp"), format!(
            "Boolean expression to filter rows from the table \"{name}\". All fields are combined with a logical 'AND'."
        ));
        let order_by = self.placeholder_input(
            &format!("{name}_order_by"),
            format!("Ordering options when selecting data from \"{name}\"."),
        );

        let mut fields = IndexMap::new();
        let mut filters = IndexMap::new();
        let mut orders = IndexMap::new();
        let mut select_columns = IndexMap::new();
        for (word, kind) in
            [("_and", InputKind::And), ("_not", InputKind::Not), ("_or", InputKind::Or)]
        {
            let ty = if kind == InputKind::Not {
                TypeRef::nullable(bool_exp)
            } else {
                TypeRef::list(bool_exp)
            };
            filters.insert(Name::from(word), InputField { description: None, ty, kind });
        }
        let order_enum = self.id(ORDER_BY);
        for (column, scalar) in self.columns(table).collect::<Vec<_>>() {
            let scalar_id = self.types.add(TypeDef::Scalar(ScalarType::clone(scalar)));
            let comparison = self.comparison(scalar, scalar_id);
            let ty = if column.not_null {
                TypeRef::non_null(scalar_id)
            } else {
                TypeRef::nullable(scalar_id)
            };
            fields.insert(
                column.name.clone(),
                FieldDef {
                    description: column.comment.clone(),
                    args: IndexMap::new(),
                    ty,
                    kind: FieldKind::Column(column.id),
                },
            );
            let kind = InputKind::Column(column.id);
            filters.entry(column.name.clone()).or_insert(InputField {
                description: None,
                ty: TypeRef::nullable(comparison),
                kind,
            });
            if scalar.operators.order {
                orders.insert(
                    column.name.clone(),
                    InputField { description: None, ty: TypeRef::nullable(order_enum), kind },
                );
            }
            select_columns.insert(
                column.name.clone(),
                EnumValue {
                    description: Some("column name".to_owned()),
                    kind: EnumKind::Column(column.id),
                },
            );
        }
        if let Some(TypeDef::Enum(def)) = self.types.get_mut(select_column) {
            def.values = select_columns;
        }
        for (index, relationship) in self.relationships(table).collect::<Vec<_>>() {
            let Some(target) = self.name(relationship.target).cloned() else { continue };
            let description = self
                .input
                .catalog
                .table(relationship.target)
                .and_then(|target| target.comment.clone());
            let target_object = self.placeholder_object(&target, description);
            let target_filter =
                self.placeholder_input(&format!("{target}_bool_exp"), String::new());
            let target_order = self.placeholder_input(&format!("{target}_order_by"), String::new());
            let kind = InputKind::Relationship(index);
            filters.entry(relationship.name.clone()).or_insert(InputField {
                description: None,
                ty: TypeRef::nullable(target_filter),
                kind,
            });
            let (ty, args) = match relationship.cardinality {
                Cardinality::Object => {
                    orders.insert(
                        relationship.name.clone(),
                        InputField { description: None, ty: TypeRef::nullable(target_order), kind },
                    );
                    (TypeRef::nullable(target_object), IndexMap::new())
                }
                Cardinality::Array => {
                    (TypeRef::non_null_list(target_object), self.list_args(&target))
                }
            };
            let described = match relationship.cardinality {
                Cardinality::Object => "An object relationship",
                Cardinality::Array => "An array relationship",
            };
            fields.insert(
                relationship.name.clone(),
                FieldDef {
                    description: Some(described.to_owned()),
                    args,
                    ty,
                    kind: FieldKind::Relationship(index),
                },
            );
        }
        fields.sort_keys();
        filters.sort_keys();
        orders.sort_keys();
        self.fill_object(object, fields);
        self.fill_input(bool_exp, filters);
        self.fill_input(order_by, orders);
    }

    /// `distinct_on, limit, offset, order_by, where` of a list of `name`.
    fn list_args(&mut self, name: &Name) -> IndexMap<Name, ArgDef> {
        let int = self.id("Int");
        let bool_exp = self.placeholder_input(&format!("{name}_bool_exp"), String::new());
        let order_by = self.placeholder_input(&format!("{name}_order_by"), String::new());
        let columns = self.placeholder_enum(name);
        let mut args = IndexMap::new();
        for (word, ty, kind, description) in [
            (
                "distinct_on",
                TypeRef::list(columns),
                ArgKind::DistinctOn,
                "distinct select on columns",
            ),
            ("limit", TypeRef::nullable(int), ArgKind::Limit, "limit the number of rows returned"),
            (
                "offset",
                TypeRef::nullable(int),
                ArgKind::Offset,
                "skip the first n rows. Use only with order_by",
            ),
            (
                "order_by",
                TypeRef::list(order_by),
                ArgKind::OrderBy,
                "sort the rows by one or more columns",
            ),
            ("where", TypeRef::nullable(bool_exp), ArgKind::Where, "filter the rows returned"),
        ] {
            args.insert(
                Name::from(word),
                ArgDef { description: Some(description.to_owned()), ty, kind },
            );
        }
        args
    }

    fn query_root(&mut self, tables: &[&'a Table]) -> TypeId {
        let mut fields: IndexMap<Name, FieldDef> = IndexMap::new();
        let mut by_key = Vec::new();
        for table in tables {
            let id = table.id;
            let Some(name) = self.name(id).cloned() else { continue };
            let object = self.id(&name);
            let args = self.list_args(&name);
            fields.insert(
                name.clone(),
                FieldDef {
                    description: Some(format!("fetch data from the table: \"{name}\"")),
                    args,
                    ty: TypeRef::non_null_list(object),
                    kind: FieldKind::SelectMany(id),
                },
            );
            if let Some(args) = self.key_args(table) {
                by_key.push((
                    Name::from(format!("{name}_by_pk")),
                    FieldDef {
                        description: Some(format!(
                            "fetch data from the table: \"{name}\" using primary key columns"
                        )),
                        args,
                        ty: TypeRef::nullable(object),
                        kind: FieldKind::SelectByPk(id),
                    },
                ));
            }
        }
        // A table that is named like another's `_by_pk` keeps its name.
        for (name, field) in by_key {
            fields.entry(name).or_insert(field);
        }
        if fields.is_empty() {
            let string = self.id("String");
            fields.insert(
                "no_queries_available".into(),
                FieldDef {
                    description: Some(
                        "There are no queries available to the current role. Either there are no sources or remote schemas configured, or the current role doesn't have the required permissions."
                            .to_owned(),
                    ),
                    args: IndexMap::new(),
                    ty: TypeRef::non_null(string),
                    kind: FieldKind::NothingAvailable,
                },
            );
        }
        fields.sort_keys();
        let query = self.id(QUERY_ROOT);
        self.fill_object(query, fields);
        query
    }

    /// Arguments of `_by_pk`; `None` when a column of the key is hidden.
    fn key_args(&mut self, table: &'a Table) -> Option<IndexMap<Name, ArgDef>> {
        let key = table.primary_key.as_ref()?;
        let visible: Vec<_> = self.columns(table).collect();
        let mut args = IndexMap::new();
        for column in &key.columns {
            let (column, scalar) = visible.iter().find(|(c, _)| c.id == *column)?;
            let scalar = self.types.add(TypeDef::Scalar(ScalarType::clone(scalar)));
            args.insert(
                column.name.clone(),
                ArgDef {
                    description: column.comment.clone(),
                    ty: TypeRef::non_null(scalar),
                    kind: ArgKind::Key(column.id),
                },
            );
        }
        Some(args)
    }

    fn comparison(&mut self, scalar: &ScalarType, id: TypeId) -> TypeId {
        let name: Name = comparison_name(&scalar.name).into();
        if let Some(existing) = self.types.by_name(&name) {
            return existing;
        }
        let boolean = self.id("Boolean");
        let one = TypeRef::nullable(id);
        let many = TypeRef::list(id);
        let mut fields = IndexMap::new();
        let operators = &scalar.operators;
        let mut add = |word: &str, ty, comparison| {
            fields.insert(
                Name::from(word),
                InputField { description: None, ty, kind: InputKind::Compare(comparison) },
            );
        };
        if operators.equality {
            add("_eq", one, Comparison::Eq);
            add("_neq", one, Comparison::Neq);
        }
        if operators.lists {
            add("_in", many, Comparison::In);
            add("_nin", many, Comparison::Nin);
        }
        if operators.order {
            add("_gt", one, Comparison::Gt);
            add("_gte", one, Comparison::Gte);
            add("_lt", one, Comparison::Lt);
            add("_lte", one, Comparison::Lte);
        }
        if operators.text {
            add("_like", one, Comparison::Like);
            add("_nlike", one, Comparison::Nlike);
            add("_ilike", one, Comparison::Ilike);
            add("_nilike", one, Comparison::Nilike);
            add("_similar", one, Comparison::Similar);
            add("_nsimilar", one, Comparison::Nsimilar);
            add("_regex", one, Comparison::Regex);
            add("_iregex", one, Comparison::Iregex);
            add("_nregex", one, Comparison::Nregex);
            add("_niregex", one, Comparison::Niregex);
        }
        fields.insert(
            "_is_null".into(),
            InputField {
                description: None,
                ty: TypeRef::nullable(boolean),
                kind: InputKind::IsNull,
            },
        );
        fields.sort_keys();
        let described = format!(
            "Boolean expression to compare columns of type \"{}\". All fields are combined with logical 'AND'.",
            scalar.name
        );
        self.types.add(TypeDef::Input(InputType { name, description: Some(described), fields }))
    }

    fn placeholder_object(&mut self, name: &str, description: Option<String>) -> TypeId {
        self.types.add(TypeDef::Object(ObjectType {
            name: name.into(),
            description,
            fields: IndexMap::new(),
        }))
    }

    /// `<table>_select_column`, filled when the table's turn comes.
    fn placeholder_enum(&mut self, table: &str) -> TypeId {
        self.types.add(TypeDef::Enum(EnumType {
            name: format!("{table}_select_column").into(),
            description: Some(format!("select columns of table \"{table}\"")),
            values: IndexMap::new(),
        }))
    }

    fn placeholder_input(&mut self, name: &str, description: String) -> TypeId {
        let id = self.types.add(TypeDef::Input(InputType {
            name: name.into(),
            description: None,
            fields: IndexMap::new(),
        }));
        if let Some(TypeDef::Input(input)) = self.types.get_mut(id)
            && input.description.is_none()
            && !description.is_empty()
        {
            input.description = Some(description);
        }
        id
    }

    fn fill_object(&mut self, id: TypeId, fields: IndexMap<Name, FieldDef>) {
        if let Some(TypeDef::Object(object)) = self.types.get_mut(id) {
            object.fields = fields;
        }
    }

    fn fill_input(&mut self, id: TypeId, fields: IndexMap<Name, InputField>) {
        if let Some(TypeDef::Input(input)) = self.types.get_mut(id) {
            input.fields = fields;
        }
    }
}

fn comparison_name(scalar: &str) -> String {
    format!("{scalar}_comparison_exp")
}
