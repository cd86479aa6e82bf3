//! Metadata permissions → [`TableAccess`], with Hasura v2's semantics.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::catalog::model::{self as db, ColumnId};
use crate::catalog::privileges::ColumnSet;
use crate::graphql::Name;
use crate::metadata::permission::{
    Columns, Permission, Presets as WrittenPresets, QueryRoot, SubscriptionRoot,
};
use crate::metadata::{Json, QualifiedName, Table as Written};
use crate::schema::access::{
    ComputedAccess, DeleteAccess, InsertAccess, Presets, Roots, SelectAccess, TableAccess,
    UpdateAccess, written,
};
use crate::schema::predicate::Predicate;
use crate::schema::types::RootKind;

use super::conditions::{self, operand};
use super::inconsistency::{Inconsistency, ObjectKind};
use super::{Returns, Tracked, TrackedId, TrackedTable};

/// The role that has every permission by itself.
const ADMIN: &str = "admin";

/// The permissions of a table.
#[derive(Default)]
pub(super) struct Permissions {
    pub by_role: BTreeMap<Name, TableAccess>,
    /// Tables that their conditions are about.
    pub mentions: BTreeSet<TrackedId>,
    /// What cannot be kept.
    pub told: Vec<Inconsistency>,
}

/// The permissions of a table by role.
pub(super) fn of_table(tracked: &Tracked, id: TrackedId, table: &Written) -> Permissions {
    let mut permissions = Permissions::default();
    let (Some(shown), Some(db)) = (tracked.table(id), tracked.db_table(id)) else {
        return permissions;
    };
    let Some(source) = tracked.source(shown.source) else { return permissions };
    let reader = Reader { tracked, id, shown, db, conditions: RefCell::default() };
    let (out, inconsistencies) = (&mut permissions.by_role, &mut permissions.told);
    let mut tell = |kind, role: &str, reason: String, definition: Value| {
        let reason =
            format!("in table \"{}\": in permission for role \"{role}\": {reason}", table.table);
        let at = (&*source.name, &table.table);
        inconsistencies.push(Inconsistency::in_table(kind, at, role, reason, definition));
    };
    for written in &table.select_permissions {
        match reader.select(written) {
            Ok(access) => out.entry(written.role.shared()).or_default().select = Some(access),
            Err(reason) => {
                tell(ObjectKind::SelectPermission, &written.role, reason, definition(written));
            }
        }
    }
    for written in &table.insert_permissions {
        match reader.insert(written) {
            Ok(access) => out.entry(written.role.shared()).or_default().insert = Some(access),
            Err(reason) => {
                tell(ObjectKind::InsertPermission, &written.role, reason, definition(written));
            }
        }
    }
    for written in &table.update_permissions {
        match reader.update(written) {
            Ok(access) => out.entry(written.role.shared()).or_default().update = Some(access),
            Err(reason) => {
                tell(ObjectKind::UpdatePermission, &written.role, reason, definition(written));
            }
        }
    }
    for written in &table.delete_permissions {
        match reader.delete(written) {
            Ok(access) => out.entry(written.role.shared()).or_default().delete = Some(access),
            Err(reason) => {
                tell(ObjectKind::DeletePermission, &written.role, reason, definition(written));
            }
        }
    }
    permissions.mentions = reader.conditions.into_inner().mentions;
    permissions
}

fn definition<T: Serialize>(permission: &Permission<T>) -> Value {
    serde_json::to_value(permission).unwrap_or(Value::Null)
}

struct Reader<'a> {
    tracked: &'a Tracked,
    id: TrackedId,
    shown: &'a TrackedTable,
    db: &'a db::Table,
    conditions: RefCell<Conditions<'a>>,
}

/// Conditions that were read: most roles have the same.
#[derive(Default)]
struct Conditions<'a> {
    by_text: HashMap<&'a str, Arc<Predicate>>,
    mentions: BTreeSet<TrackedId>,
}

impl<'a> Reader<'a> {
    fn not_admin(&self, role: &str) -> Result<(), String> {
        if role == ADMIN {
            return Err("the role admin has every permission by itself".to_owned());
        }
        Ok(())
    }

    fn here(&self) -> QualifiedName {
        QualifiedName::new(self.db.schema.clone(), self.db.name.clone())
    }

    fn column(&self, name: &str) -> Result<ColumnId, String> {
        conditions::column_of(self.tracked, self.id, name)
            .ok_or_else(|| format!("column \"{name}\" does not exist"))
    }

    fn columns(&self, written: &Columns) -> Result<ColumnSet, String> {
        match written {
            Columns::All => Ok(ColumnSet::first(self.db.columns.len())),
            Columns::Named(names) => {
                let mut set = ColumnSet::default();
                for name in names {
                    set.insert(self.column(name)?);
                }
                Ok(set)
            }
        }
    }

    fn condition(&self, json: &'a Json) -> Result<Arc<Predicate>, String> {
        let mut conditions = self.conditions.borrow_mut();
        if let Some(known) = conditions.by_text.get(json.text()) {
            return Ok(known.clone());
        }
        let value = json.value().map_err(|error| error.to_string())?;
        let read =
            conditions::parse_noting(self.tracked, self.id, &value, &mut conditions.mentions);
        let read = Arc::new(read.map_err(|error| error.to_string())?);
        conditions.by_text.insert(json.text(), read.clone());
        Ok(read)
    }

    fn presets(&self, written: &WrittenPresets) -> Result<Presets, String> {
        let mut out = Vec::with_capacity(written.len());
        for (name, value) in written {
            let column = self.column(name)?;
            if self.db.column(column).is_some_and(db::Column::is_fixed) {
                return Err(format!("column \"{name}\" is generated and cannot be set"));
            }
            let scalar = self
                .db
                .column(column)
                .and_then(|found| self.tracked.scalars.of_type(self.shown.source, found.type_oid))
                .ok_or_else(|| format!("the type of column \"{name}\" cannot be set"))?;
            let operand = operand(scalar.codec, value)
                .map_err(|reason| format!("in the preset of column \"{name}\": {reason}"))?;
            out.push((column, operand));
        }
        Ok(out)
    }

    fn select(
        &self,
        written: &'a Permission<crate::metadata::permission::SelectPermission>,
    ) -> Result<SelectAccess, String> {
        self.not_admin(&written.role)?;
        let permission = &written.permission;
        let mut computed = Vec::with_capacity(permission.computed_fields.len());
        for name in &permission.computed_fields {
            let index = self
                .shown
                .computed_named(name)
                .ok_or_else(|| format!("computed field \"{name}\" does not exist"))?;
            if let Some(Returns::Rows { table, .. }) =
                self.shown.computed.get(index).map(|field| field.returns)
            {
                let returned = self.tracked.db_table(table).map_or("", |table| &table.name);
                return Err(format!(
                    "select permissions on computed field \"{name}\" are auto-derived from the permissions on its \
                     returning table \"{returned}\" and cannot be specified manually"
                ));
            }
            computed.push(index);
        }
        let query_roots = permission.query_root_fields.as_ref().map_or(Roots::ALL, |roots| {
            Roots::of(roots.iter().map(|root| match root {
                QueryRoot::Select => RootKind::Select,
                QueryRoot::SelectByPk => RootKind::SelectByPk,
                QueryRoot::SelectAggregate => RootKind::SelectAggregate,
            }))
        });
        let subscription_roots =
            permission.subscription_root_fields.as_ref().map_or(Roots::ALL, |roots| {
                Roots::of(roots.iter().map(|root| match root {
                    SubscriptionRoot::Select => RootKind::Select,
                    SubscriptionRoot::SelectByPk => RootKind::SelectByPk,
                    SubscriptionRoot::SelectAggregate => RootKind::SelectAggregate,
                    SubscriptionRoot::SelectStream => RootKind::SelectStream,
                }))
            });
        Ok(SelectAccess {
            columns: self.columns(&permission.columns)?,
            readable: ColumnSet::first(self.db.columns.len()),
            computed: ComputedAccess::Named(computed),
            filter: self.condition(&permission.filter)?,
            limit: permission.limit.map(u64::from),
            aggregations: permission.allow_aggregations,
            query_roots,
            subscription_roots,
            cells: BTreeMap::new(),
            computed_cells: BTreeMap::new(),
        })
    }

    fn insert(
        &self,
        written_permission: &'a Permission<crate::metadata::permission::InsertPermission>,
    ) -> Result<InsertAccess, String> {
        self.not_admin(&written_permission.role)?;
        if !self.db.writable.insert {
            return Err(format!("\"{}\" is not insertable", self.here()));
        }
        let permission = &written_permission.permission;
        let presets = self.presets(&permission.set)?;
        Ok(InsertAccess {
            columns: self.writable(&permission.columns, &presets)?,
            check: self.condition(&permission.check)?,
            presets,
            backend_only: permission.backend_only,
        })
    }

    fn update(
        &self,
        written_permission: &'a Permission<crate::metadata::permission::UpdatePermission>,
    ) -> Result<UpdateAccess, String> {
        self.not_admin(&written_permission.role)?;
        if !self.db.writable.update {
            return Err(format!("\"{}\" is not updatable", self.here()));
        }
        let permission = &written_permission.permission;
        let presets = self.presets(&permission.set)?;
        Ok(UpdateAccess {
            columns: self.writable(&permission.columns, &presets)?,
            filter: self.condition(&permission.filter)?,
            check: match &permission.check {
                None => None,
                Some(check) => Some(self.condition(check)?),
            },
            presets,
            backend_only: permission.backend_only,
        })
    }

    /// What the caller may give: not what is preset, nor what cannot be given.
    fn writable(&self, columns: &Columns, presets: &Presets) -> Result<ColumnSet, String> {
        let mut out = written(self.db, &self.columns(columns)?);
        for (column, _) in presets {
            out.remove(*column);
        }
        Ok(out)
    }

    fn delete(
        &self,
        written: &'a Permission<crate::metadata::permission::DeletePermission>,
    ) -> Result<DeleteAccess, String> {
        self.not_admin(&written.role)?;
        if !self.db.writable.delete {
            return Err(format!("\"{}\" is not deletable", self.here()));
        }
        Ok(DeleteAccess {
            filter: self.condition(&written.permission.filter)?,
            backend_only: written.permission.backend_only,
        })
    }
}
