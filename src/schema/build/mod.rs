//! The types of one role, each made when it is first asked for.
//!
//! ```text
//! Tracked + access ─▶ Types ─▶ object, aggregate   what is selected
//!                           ├▶ filter, order       arguments of reads
//!                           ├▶ mutation            inputs of writes
//!                           ├▶ action              types of actions
//!                           └▶ root                the fields of the three roots
//! ```
//!
//! A type is a function of what is tracked and of what the role may do, so
//! nothing has to be made before something else, and a role pays for the types
//! that its operations touch.

mod action;
mod aggregate;
mod filter;
mod function;
mod mutation;
mod object;
mod order;
mod root;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

use crate::catalog::model::{Column, ColumnId, Table};
use crate::catalog::privileges::ColumnSet;
use crate::config::NamingConvention;
use crate::graphql::Name;

use super::access::{DeleteAccess, InsertAccess, SelectAccess, TableAccess, UpdateAccess};
use super::introspection::MetaType;
use super::tracked::{
    ActionId, Cardinality, ColumnType, ComputedField, FunctionId, Relationship, Returns, Tracked,
    TrackedColumn, TrackedId, TrackedTable,
};
use super::types::{
    ArgDef, ArgKind, BandInput, EnumKind, EnumType, EnumValue, FieldDef, InputField, InputKind,
    InputType, ObjectType, Root, ScalarId, ScalarType, Spatial, TableType, TypeDef, TypeId,
    TypeRef,
};

/// Most are never asked for, so that what is made is boxed.
type Slot = OnceLock<Option<Box<TypeDef>>>;
type Slots = Box<[Slot]>;

/// The types of one role.
#[derive(Debug)]
pub struct Types {
    tracked: Arc<Tracked>,
    /// By [`TrackedId`].
    access: Vec<Option<Arc<TableAccess>>>,
    /// Functions that the role may call.
    functions: BTreeSet<FunctionId>,
    /// Actions that the role may call.
    actions: BTreeSet<ActionId>,
    /// Whether permissions that are for the backend only count.
    backend: bool,
    tables: Box<[OnceLock<Slots>]>,
    globals: Globals,
}

/// Types that belong to no table.
#[derive(Debug)]
struct Globals {
    scalars: Slots,
    /// These four by [`NamingConvention`].
    comparisons: [Slots; 2],
    casts: [Slots; 2],
    order_by: [Slot; 2],
    cursor_ordering: [Slot; 2],
    withins: Slots,
    /// By [`BandInput`].
    bands: Slots,
    functions: Slots,
    customs: Slots,
}

fn cells<T>(count: usize) -> Box<[OnceLock<T>]> {
    std::iter::repeat_with(OnceLock::new).take(count).collect()
}

impl Types {
    pub(super) fn new(
        tracked: Arc<Tracked>,
        access: Vec<Option<Arc<TableAccess>>>,
        functions: BTreeSet<FunctionId>,
        actions: BTreeSet<ActionId>,
        backend: bool,
    ) -> Self {
        let scalars = tracked.scalars.iter().count();
        let globals = Globals {
            scalars: cells(scalars),
            comparisons: [cells(scalars), cells(scalars)],
            casts: [cells(scalars), cells(scalars)],
            order_by: Default::default(),
            cursor_ordering: Default::default(),
            withins: cells(scalars),
            bands: cells(BandInput::ALL.len()),
            functions: cells(tracked.functions.len()),
            customs: cells(tracked.actions.types.len()),
        };
        let tables = cells(tracked.tables.len());
        Types { tracked, access, functions, actions, backend, tables, globals }
    }

    pub fn tracked(&self) -> &Tracked {
        &self.tracked
    }

    /// A type that the role has. Those of roots are made by [`Self::root_object`]
    /// and [`Self::namespace_object`].
    pub fn get(&self, id: TypeId) -> Option<&TypeDef> {
        let globals = &self.globals;
        let slot = match id {
            TypeId::Root(_) | TypeId::Namespace(..) => return None,
            TypeId::Meta(meta) => return meta.definition(),
            TypeId::Scalar(scalar) => globals.scalars.get(scalar.0 as usize)?,
            TypeId::Comparison(convention, scalar) => {
                globals.comparisons.get(convention as usize)?.get(scalar.0 as usize)?
            }
            TypeId::Cast(convention, scalar) => {
                globals.casts.get(convention as usize)?.get(scalar.0 as usize)?
            }
            TypeId::Within(scalar) => globals.withins.get(scalar.0 as usize)?,
            TypeId::Band(input) => globals.bands.get(input as usize)?,
            TypeId::OrderBy(convention) => globals.order_by.get(convention as usize)?,
            TypeId::CursorOrdering(convention) => {
                globals.cursor_ordering.get(convention as usize)?
            }
            TypeId::FunctionArgs(function) => globals.functions.get(function.0 as usize)?,
            TypeId::Custom(id) => globals.customs.get(id.at as usize)?,
            TypeId::ComputedArgs(table, index) => {
                self.slots(table)?.get(TableType::COUNT + usize::from(index))?
            }
            TypeId::Table(table, ty) => self.slots(table)?.get(ty.slot())?,
        };
        slot.get_or_init(|| self.make(id).map(Box::new)).as_deref()
    }

    /// The same, not kept: for what goes through all types once.
    pub fn transient(&self, id: TypeId) -> Option<Cow<'_, TypeDef>> {
        match id {
            TypeId::Root(root) => Some(Cow::Owned(TypeDef::Object(self.root_object(root)))),
            TypeId::Namespace(source, root) => {
                self.namespace_object(source, root).map(TypeDef::Object).map(Cow::Owned)
            }
            TypeId::Meta(meta) => meta.definition().map(Cow::Borrowed),
            // Shared by all tables.
            TypeId::Scalar(_) | TypeId::OrderBy(_) | TypeId::CursorOrdering(_) => {
                self.get(id).map(Cow::Borrowed)
            }
            id => self.make(id).map(Cow::Owned),
        }
    }

    fn make(&self, id: TypeId) -> Option<TypeDef> {
        let scalar = |id| self.tracked.scalars.get(id);
        match id {
            TypeId::Root(_) | TypeId::Namespace(..) | TypeId::Meta(_) => None,
            TypeId::Scalar(id) => scalar(id).cloned().map(TypeDef::Scalar),
            TypeId::Comparison(convention, id) => {
                scalar(id).map(|def| TypeDef::Input(self.comparison(convention, def)))
            }
            TypeId::Cast(convention, id) => {
                scalar(id).and_then(|def| self.cast(convention, def)).map(TypeDef::Input)
            }
            TypeId::Within(id) => scalar(id).and_then(|def| self.within(def)).map(TypeDef::Input),
            TypeId::Band(input) => self.band(input).map(TypeDef::Input),
            TypeId::OrderBy(convention) => Some(TypeDef::Enum(order::order_by(convention))),
            TypeId::CursorOrdering(convention) => {
                Some(TypeDef::Enum(order::cursor_ordering(convention)))
            }
            TypeId::FunctionArgs(function) => self.function_args(function).map(TypeDef::Input),
            TypeId::Custom(id) => self.custom_type(id),
            TypeId::ComputedArgs(table, index) => {
                self.computed_args(table, index).map(TypeDef::Input)
            }
            TypeId::Table(table, ty) => self.table_type(table, ty),
        }
    }

    /// Whether an object or input of the role has nothing in it, so that it
    /// cannot be described.
    pub fn is_bare(&self, id: TypeId) -> bool {
        let TypeId::Table(table, ty) = id else { return false };
        let Some(view) = self.view(table) else { return false };
        match ty {
            TableType::Object => {
                view.selected().next().is_none()
                    && self.relationships(&view).next().is_none()
                    && self.computed(&view).next().is_none()
            }
            _ => false,
        }
    }

    /// The types of a table, then the arguments of its computed fields.
    fn slots(&self, table: TrackedId) -> Option<&Slots> {
        let computed = self.tracked.table(table)?.computed.len();
        Some(self.tables.get(table.0 as usize)?.get_or_init(|| cells(TableType::COUNT + computed)))
    }

    fn table_type(&self, table: TrackedId, ty: TableType) -> Option<TypeDef> {
        if !self.has(TypeId::Table(table, ty)) {
            return None;
        }
        let view = self.view(table)?;
        Some(match ty {
            TableType::Object => TypeDef::Object(self.object_type(&view)),
            TableType::BoolExp => TypeDef::Input(self.bool_exp(&view)),
            TableType::OrderBy => TypeDef::Input(self.order_by_input(&view)),
            TableType::SelectColumn => TypeDef::Enum(select_column(&view)),
            TableType::Aggregate => TypeDef::Object(self.aggregate(&view)),
            TableType::AggregateFields => TypeDef::Object(self.aggregate_fields(&view)),
            TableType::FunctionFields(function) => {
                TypeDef::Object(self.function_fields(&view, function))
            }
            TableType::AggregateOrderBy => TypeDef::Input(self.aggregate_order_by(&view)),
            TableType::FunctionOrderBy(function) => {
                TypeDef::Input(self.function_order_by(&view, function))
            }
            TableType::AggregateBoolExp => TypeDef::Input(self.aggregate_bool_exp(&view)),
            TableType::AggregateCount => TypeDef::Input(self.aggregate_count(&view)),
            TableType::Condition(function) => TypeDef::Input(self.condition(&view, function)?),
            TableType::ConditionColumn(function) => {
                TypeDef::Enum(self.condition_column(&view, function))
            }
            TableType::ConditionArguments(function) => {
                TypeDef::Input(self.condition_arguments(&view, function))
            }
            TableType::AggregateGroup => TypeDef::Object(self.aggregate_group(&view)),
            TableType::AggregateGroupKey => TypeDef::Object(self.aggregate_group_key(&view)),
            TableType::Enum => TypeDef::Enum(enum_values(view.shown)?),
            TableType::EnumComparison => TypeDef::Input(self.enum_comparison(view.shown)),
            TableType::StreamCursor => TypeDef::Input(self.stream_cursor(&view)),
            TableType::StreamCursorValue => TypeDef::Input(self.stream_cursor_value(&view)),
            TableType::InsertInput => TypeDef::Input(self.insert_input(&view)),
            TableType::ObjectInsertInput | TableType::ArrayInsertInput => {
                TypeDef::Input(self.nested_insert_input(&view, ty))
            }
            TableType::OnConflict => TypeDef::Input(self.on_conflict(&view)),
            TableType::Constraint => TypeDef::Enum(constraints(&view)),
            TableType::UpdateColumn => TypeDef::Enum(update_column(&view)),
            TableType::SetInput
            | TableType::IncInput
            | TableType::AppendInput
            | TableType::PrependInput
            | TableType::DeleteKeyInput
            | TableType::DeleteElemInput
            | TableType::DeleteAtPathInput => TypeDef::Input(self.operator_input(&view, ty)),
            TableType::PkColumnsInput => TypeDef::Input(self.pk_columns(&view)),
            TableType::Updates => TypeDef::Input(self.updates(&view)),
            TableType::NestedUpdateInput => TypeDef::Input(self.nested_update(&view)),
            TableType::RelatedUpdateInput => TypeDef::Input(self.related_update(&view)),
            TableType::RelatedDeleteInput => TypeDef::Input(self.related_delete(&view)),
            TableType::MutationResponse => TypeDef::Object(self.mutation_response(&view)),
        })
    }

    /// Whether the role has a type, without making it.
    pub fn has(&self, id: TypeId) -> bool {
        match id {
            TypeId::Root(Root::Query) => true,
            TypeId::Root(root) => self.root_names(root).next().is_some(),
            TypeId::Namespace(source, root) => self.has_namespace(source, root),
            TypeId::Scalar(scalar) => self.tracked.scalars.get(scalar).is_some(),
            TypeId::Comparison(convention, scalar) => {
                self.tracked.uses(convention) && self.tracked.scalars.get(scalar).is_some()
            }
            TypeId::Cast(convention, scalar) => {
                let def = self.tracked.scalars.get(scalar);
                self.tracked.uses(convention)
                    && def.and_then(|def| self.cast(convention, def)).is_some()
            }
            TypeId::Within(scalar) => {
                self.tracked.scalars.get(scalar).is_some_and(|def| def.operators.spatial.is_some())
            }
            TypeId::Band(_) => self.tracked.scalars.iter().any(|def| def.operators.raster),
            TypeId::OrderBy(convention) | TypeId::CursorOrdering(convention) => {
                self.tracked.uses(convention)
            }
            TypeId::Meta(_) => true,
            // Without actions nothing leads to it.
            TypeId::Custom(id) => {
                !self.actions.is_empty() && self.tracked.actions.custom(id).is_some()
            }
            TypeId::FunctionArgs(function) => {
                self.functions.contains(&function)
                    && self
                        .tracked
                        .function(function)
                        .is_some_and(|f| function::takes_args(&f.call))
            }
            TypeId::ComputedArgs(table, index) => self
                .view(table)
                .and_then(|view| view.shown.computed.get(usize::from(index)))
                .is_some_and(|field| function::takes_args(&field.call)),
            TypeId::Table(table, ty) => self.view(table).is_some_and(|view| self.has_of(&view, ty)),
        }
    }

    fn has_of(&self, view: &View<'_>, ty: TableType) -> bool {
        match ty {
            TableType::Object | TableType::BoolExp => view.select().is_some(),
            TableType::OrderBy => self.orders(view).next().is_some(),
            // A role that sees no column has nothing to name.
            TableType::SelectColumn | TableType::StreamCursor | TableType::StreamCursorValue => {
                view.selected().next().is_some()
            }
            TableType::Aggregate | TableType::AggregateFields => view.aggregates(),
            TableType::FunctionFields(function) => {
                view.aggregates()
                    && (self.aggregated(view, function).next().is_some()
                        || self.aggregated_computed(view, function).next().is_some())
            }
            TableType::FunctionOrderBy(function) => {
                view.aggregates() && self.aggregated(view, function).next().is_some()
            }
            TableType::AggregateOrderBy
            | TableType::AggregateBoolExp
            | TableType::AggregateCount => view.aggregates(),
            TableType::Condition(function) | TableType::ConditionColumn(function) => {
                view.aggregates() && self.condition_columns(view, function).next().is_some()
            }
            TableType::ConditionArguments(function) => {
                function.takes_pair()
                    && view.aggregates()
                    && self.condition_columns(view, function).next().is_some()
            }
            TableType::AggregateGroup | TableType::AggregateGroupKey => {
                view.aggregates() && self.groupable(view).next().is_some()
            }
            // Other tables' columns have the type, whatever the role sees of this one.
            TableType::Enum | TableType::EnumComparison => {
                view.shown.enum_values.as_ref().is_some_and(|values| !values.is_empty())
            }
            TableType::InsertInput => self.inserts(view.id).is_some(),
            TableType::ObjectInsertInput | TableType::ArrayInsertInput => {
                self.inserts(view.id).is_some()
            }
            TableType::OnConflict | TableType::Constraint | TableType::UpdateColumn => {
                self.may_upsert(view)
            }
            TableType::SetInput
            | TableType::IncInput
            | TableType::AppendInput
            | TableType::PrependInput
            | TableType::DeleteKeyInput
            | TableType::DeleteElemInput
            | TableType::DeleteAtPathInput => self.operated(view, ty).next().is_some(),
            TableType::PkColumnsInput => self.updates_of(view.id).is_some() && view.key().is_some(),
            TableType::Updates => self.updates_of(view.id).is_some() && self.may_filter(view),
            TableType::NestedUpdateInput => {
                self.updates_of(view.id).is_some()
                    && view.key().is_some()
                    && self.changed_with(view).next().is_some()
            }
            TableType::RelatedUpdateInput => {
                self.inserts(view.id).is_some() || self.may_update(view) || self.may_delete(view)
            }
            TableType::RelatedDeleteInput => self.may_delete(view),
            TableType::MutationResponse => {
                self.inserts(view.id).is_some()
                    || self.updates_of(view.id).is_some()
                    || self.deletes_of(view.id).is_some()
            }
        }
    }

    /// The type of this name, if the role has one.
    pub fn by_name(&self, name: &str) -> Option<TypeId> {
        if let Some(scalar) = self.tracked.scalars.by_name(name) {
            return Some(TypeId::Scalar(scalar));
        }
        if let Some(id) = self.shared_by_name(name) {
            return Some(id);
        }
        for spatial in [Spatial::Geometry, Spatial::Geography] {
            if spatial.within_input() == name {
                let mut scalars = self.tracked.scalars.iter();
                let of = scalars.find(|scalar| scalar.operators.spatial == Some(spatial))?;
                return Some(TypeId::Within(of.id));
            }
        }
        if let Some(band) = BandInput::ALL.into_iter().find(|input| input.name() == name) {
            return Some(TypeId::Band(band)).filter(|id| self.has(*id));
        }
        if let Some(id) = self.tracked.actions.by_name(name) {
            return Some(TypeId::Custom(id)).filter(|id| self.has(*id));
        }
        if let Some(root) = Root::ALL.into_iter().find(|root| root.name() == name) {
            return Some(TypeId::Root(root)).filter(|id| self.has(*id));
        }
        if let Some(meta) = MetaType::ALL.into_iter().find(|meta| meta.name() == name) {
            return Some(TypeId::Meta(meta));
        }
        self.tracked
            .table_types(name)
            .map(|(table, ty)| TypeId::Table(table, ty))
            .find(|id| self.has(*id))
            .or_else(|| self.args_by_name(name))
            .or_else(|| self.namespace_by_name(name))
    }

    /// The type of this name among those that the sources of one naming
    /// convention share.
    fn shared_by_name(&self, name: &str) -> Option<TypeId> {
        let scalars = &self.tracked.scalars;
        let used = NamingConvention::ALL.into_iter().filter(|one| self.tracked.uses(*one));
        let mut found = used.filter_map(|convention| {
            let enums = [TypeId::OrderBy(convention), TypeId::CursorOrdering(convention)];
            if let Some(id) = enums.into_iter().find(|id| *self.name(*id) == *name) {
                return Some(id);
            }
            let of = |suffix: &str| scalars.named_by(name, convention, suffix);
            of("_comparison_exp")
                .map(|scalar| TypeId::Comparison(convention, scalar))
                .or_else(|| Some(TypeId::Cast(convention, of("_cast_exp")?)))
        });
        found.find(|id| self.has(*id))
    }

    pub fn name(&self, id: TypeId) -> Name {
        match id {
            TypeId::Root(root) => root.name().into(),
            TypeId::Namespace(source, root) => {
                self.namespace_type(source, root).unwrap_or_else(|| "".into())
            }
            TypeId::Scalar(scalar) => self.scalar_name(scalar).clone(),
            TypeId::Comparison(convention, scalar) => {
                self.tracked.scalars.named_after(scalar, convention, "_comparison_exp")
            }
            TypeId::Cast(convention, scalar) => {
                self.tracked.scalars.named_after(scalar, convention, "_cast_exp")
            }
            TypeId::Within(scalar) => {
                let spatial =
                    self.tracked.scalars.get(scalar).and_then(|scalar| scalar.operators.spatial);
                spatial.map_or("", Spatial::within_input).into()
            }
            TypeId::Band(input) => input.name().into(),
            TypeId::OrderBy(convention) => convention.type_name("order_by"),
            TypeId::CursorOrdering(convention) => convention.type_name("cursor_ordering"),
            TypeId::Meta(meta) => meta.name().into(),
            TypeId::Table(table, ty) => {
                self.tracked.table(table).map_or_else(|| "".into(), |table| table.type_name(ty))
            }
            TypeId::ComputedArgs(table, index) => {
                self.tracked.computed_args_name(table, index).unwrap_or_else(|| "".into())
            }
            TypeId::Custom(id) => self
                .tracked
                .actions
                .custom(id)
                .map_or_else(|| "".into(), |custom| custom.name.clone()),
            TypeId::FunctionArgs(function) => self
                .tracked
                .function(function)
                .map_or_else(|| "".into(), |function| function.args_type.clone()),
        }
    }

    fn scalar_name(&self, id: ScalarId) -> &Name {
        static NONE: std::sync::LazyLock<Name> = std::sync::LazyLock::new(|| "".into());
        self.tracked.scalars.get(id).map_or(&NONE, |scalar| &scalar.name)
    }

    pub fn object(&self, id: TypeId) -> Option<&ObjectType> {
        match self.get(id) {
            Some(TypeDef::Object(object)) => Some(object),
            _ => None,
        }
    }

    pub fn input(&self, id: TypeId) -> Option<&InputType> {
        match self.get(id) {
            Some(TypeDef::Input(input)) => Some(input),
            _ => None,
        }
    }

    /// What a value of an enum is in the database; the word itself where the enum
    /// is not of a table.
    pub fn stored_word(&self, id: TypeId, word: &Name, value: &EnumValue) -> Name {
        let stored = match (id, value.kind) {
            (TypeId::Table(table, _), EnumKind::Row(at)) => self
                .tracked
                .table(table)
                .and_then(|table| table.enum_values.as_ref()?.get(at as usize)),
            _ => None,
        };
        stored.map_or(word, |row| &row.value).clone()
    }

    /// A type as a document writes it.
    pub fn display(&self, ty: TypeRef) -> String {
        ty.wrap.around(&self.name(ty.base))
    }

    pub fn access(&self, table: TrackedId) -> Option<&TableAccess> {
        self.access.get(table.0 as usize)?.as_deref()
    }

    pub fn select(&self, table: TrackedId) -> Option<&SelectAccess> {
        self.access(table)?.select.as_ref()
    }

    /// What the role may insert, now.
    pub fn inserts(&self, table: TrackedId) -> Option<&InsertAccess> {
        self.access(table)?.insert.as_ref().filter(|access| self.backend || !access.backend_only)
    }

    pub fn updates_of(&self, table: TrackedId) -> Option<&UpdateAccess> {
        self.access(table)?.update.as_ref().filter(|access| self.backend || !access.backend_only)
    }

    pub fn deletes_of(&self, table: TrackedId) -> Option<&DeleteAccess> {
        self.access(table)?.delete.as_ref().filter(|access| self.backend || !access.backend_only)
    }

    fn view(&self, id: TrackedId) -> Option<View<'_>> {
        let shown = self.tracked.table(id)?;
        let db = self.tracked.db_table(id)?;
        Some(View { id, shown, db, access: self.access(id) })
    }

    fn scalar_of(&self, ty: ColumnType) -> Option<&Arc<ScalarType>> {
        match ty {
            ColumnType::Scalar(scalar) => self.tracked.scalars.get(scalar),
            ColumnType::Enum(_) => None,
        }
    }
}

/// A table as one role sees it.
struct View<'a> {
    id: TrackedId,
    shown: &'a TrackedTable,
    db: &'a Table,
    access: Option<&'a TableAccess>,
}

/// A column that the role sees, with its GraphQL name and type.
#[derive(Clone, Copy)]
struct Seen<'a> {
    column: &'a Column,
    shown: &'a TrackedColumn,
    name: &'a Name,
    ty: ColumnType,
}

impl<'a> View<'a> {
    fn select(&self) -> Option<&'a SelectAccess> {
        self.access?.select.as_ref()
    }

    fn aggregates(&self) -> bool {
        self.select().is_some_and(|select| select.aggregations)
    }

    /// The columns of a set that GraphQL can name, in the table's order.
    fn columns(&self, set: &'a ColumnSet) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        self.db.columns.iter().zip(&self.shown.columns).filter_map(move |(column, shown)| {
            let (Some(name), Some(ty)) = (&shown.name, shown.ty) else { return None };
            set.contains(column.id).then_some(Seen { column, shown, name, ty })
        })
    }

    /// The columns that the role may select.
    fn selected(&self) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        self.select().into_iter().flat_map({
            let columns = self.db.columns.iter().zip(&self.shown.columns);
            move |select| {
                columns.clone().filter_map(move |(column, shown)| {
                    let (Some(name), Some(ty)) = (&shown.name, shown.ty) else { return None };
                    select.columns.contains(column.id).then_some(Seen { column, shown, name, ty })
                })
            }
        })
    }

    /// The columns of the primary key, when the role sees all of them.
    fn key(&self) -> Option<Vec<Seen<'a>>> {
        let key = self.db.primary_key.as_ref()?;
        let seen: Vec<_> = self.selected().collect();
        key.columns
            .iter()
            .map(|id| seen.iter().find(|seen| seen.column.id == *id).copied())
            .collect()
    }

    /// The name that GraphQL shows.
    fn name(&self) -> &'a Name {
        self.shown.name()
    }

    fn convention(&self) -> NamingConvention {
        self.shown.convention()
    }

    fn type_name(&self, ty: TableType) -> Name {
        self.shown.type_name(ty)
    }

    fn ty(&self, ty: TableType) -> TypeId {
        TypeId::Table(self.id, ty)
    }
}

impl Types {
    /// The relationships of a table that the role can join.
    fn relationships<'a>(
        &'a self,
        view: &View<'a>,
    ) -> impl Iterator<Item = (usize, &'a Relationship)> + use<'a> {
        let here = view.select();
        view.shown.relationships.iter().enumerate().filter(move |(_, relationship)| {
            let there = self.select(relationship.target);
            let (Some(here), Some(there)) = (here, there) else { return false };
            relationship
                .join
                .iter()
                .all(|(own, other)| here.readable.contains(*own) && there.readable.contains(*other))
        })
    }

    /// The computed fields of a table that the role sees.
    fn computed<'a>(
        &'a self,
        view: &View<'a>,
    ) -> impl Iterator<Item = (usize, &'a ComputedField)> + use<'a> {
        let select = view.select();
        view.shown.computed.iter().enumerate().filter(move |(index, field)| match field.returns {
            Returns::Scalar(_) => select.is_some_and(|select| select.computed.allows(*index)),
            Returns::Rows { table, .. } => self.select(table).is_some(),
        })
    }

    /// Whether the other side of a relationship is always there for the role.
    fn is_total(&self, relationship: &Relationship) -> bool {
        relationship.total
            && relationship.cardinality == Cardinality::Object
            && self.select(relationship.target).is_some_and(|select| select.filter.is_true())
            && self.tracked.db_table(relationship.target).is_some_and(|table| !table.rls_enabled)
    }
}

fn select_column(view: &View<'_>) -> EnumType {
    EnumType {
        name: view.type_name(TableType::SelectColumn),
        description: Some(format!("select columns of table \"{}\"", view.name())),
        values: named_columns(view.selected()),
    }
}

fn update_column(view: &View<'_>) -> EnumType {
    let updates = view.access.and_then(|access| access.update.as_ref());
    let mut values = IndexMap::new();
    if let Some(updates) = updates {
        values = named_columns(view.columns(&updates.columns));
    }
    if values.is_empty() {
        // An enum has at least one value.
        values.insert(
            "_PLACEHOLDER".into(),
            EnumValue {
                description: Some("placeholder (do not use)".to_owned()),
                kind: EnumKind::Placeholder,
            },
        );
    }
    EnumType {
        name: view.type_name(TableType::UpdateColumn),
        description: Some(format!("update columns of table \"{}\"", view.name())),
        values,
    }
}

fn named_columns<'a>(columns: impl Iterator<Item = Seen<'a>>) -> IndexMap<Name, EnumValue> {
    columns
        .map(|seen| {
            let value = EnumValue {
                description: Some("column name".to_owned()),
                kind: EnumKind::Column(seen.column.id),
            };
            (seen.name.clone(), value)
        })
        .collect()
}

fn constraints(view: &View<'_>) -> EnumType {
    let values = view
        .db
        .primary_key
        .iter()
        .chain(&view.db.uniques)
        .zip(if view.db.primary_key.is_some() { 0u16.. } else { 1u16.. })
        .filter(|(key, _)| super::naming::is_graphql_name(&key.name))
        .map(|(key, index)| {
            let columns: Vec<String> = key
                .columns
                .iter()
                .filter_map(|id| view.db.column(*id))
                .map(|column| format!("\"{}\"", column.name))
                .collect();
            let value = EnumValue {
                description: Some(format!(
                    "unique or primary key constraint on columns {}",
                    columns.join(", ")
                )),
                kind: EnumKind::Constraint(index),
            };
            (key.name.clone(), value)
        })
        .collect();
    EnumType {
        name: view.type_name(TableType::Constraint),
        description: Some(format!(
            "unique or primary key constraints on table \"{}\"",
            view.name()
        )),
        values,
    }
}

fn enum_values(shown: &TrackedTable) -> Option<EnumType> {
    let rows = shown.enum_values.as_ref()?;
    let values = (0..)
        .zip(rows.iter())
        .map(|(index, row)| {
            let value =
                EnumValue { description: row.description.clone(), kind: EnumKind::Row(index) };
            (shown.convention().value(&row.value), value)
        })
        .collect();
    Some(EnumType { name: shown.type_name(TableType::Enum), description: None, values })
}

fn argument(name: &str, description: Option<&str>, ty: TypeRef, kind: ArgKind) -> (Name, ArgDef) {
    (name.into(), ArgDef { description: description.map(str::to_owned), ty, kind })
}

fn field(ty: TypeRef, kind: super::types::FieldKind, description: Option<String>) -> FieldDef {
    FieldDef { description, args: IndexMap::new(), ty, kind }
}

fn input(ty: TypeRef, kind: InputKind) -> InputField {
    InputField { description: None, ty, kind }
}

/// A column as the fields of inputs refer to it.
fn of_column(column: ColumnId) -> InputKind {
    InputKind::Column(column)
}
