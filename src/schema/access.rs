//! What one role may do with one table: from GRANTs, from metadata
//! permissions, or everything.
//!
//! Gate two. It can only narrow what the database allows to the role's
//! database role; the planner puts the conditions into the SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::model::{ColumnId, Table};
use crate::catalog::privileges::{ColumnSet, TablePrivileges};

use super::predicate::{Operand, Predicate};
use super::types::RootKind;

#[derive(Debug, Clone, Default)]
pub struct TableAccess {
    pub select: Option<SelectAccess>,
    pub insert: Option<InsertAccess>,
    pub update: Option<UpdateAccess>,
    pub delete: Option<DeleteAccess>,
}

#[derive(Debug, Clone)]
pub struct SelectAccess {
    /// Columns that are shown.
    pub columns: ColumnSet,
    /// Columns that the statements of the role may read: joins need no more
    /// than that.
    pub readable: ColumnSet,
    pub computed: ComputedAccess,
    pub filter: Arc<Predicate>,
    /// The most rows of one list.
    pub limit: Option<u64>,
    pub aggregations: bool,
    pub query_roots: Roots,
    pub subscription_roots: Roots,
    /// Columns that are null in rows for which their condition does not hold.
    /// Of inherited roles, whose parts see different columns of a row.
    pub cells: BTreeMap<ColumnId, Arc<Predicate>>,
    /// The same of scalar computed fields, by their position.
    pub computed_cells: BTreeMap<usize, Arc<Predicate>>,
}

/// Which scalar computed fields a role sees; those that return rows follow
/// from the permission on the table that they return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComputedAccess {
    All,
    /// Positions among the table's computed fields.
    Named(Vec<usize>),
}

impl ComputedAccess {
    pub fn allows(&self, index: usize) -> bool {
        match self {
            ComputedAccess::All => true,
            ComputedAccess::Named(named) => named.contains(&index),
        }
    }
}

/// A set of the select roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roots(u8);

impl Roots {
    pub const ALL: Roots = Roots(0b1111);

    pub fn of(kinds: impl IntoIterator<Item = RootKind>) -> Self {
        Roots(kinds.into_iter().fold(0, |bits, kind| bits | Self::bit(kind)))
    }

    const fn bit(kind: RootKind) -> u8 {
        match kind {
            RootKind::Select => 1,
            RootKind::SelectByPk => 2,
            RootKind::SelectAggregate => 4,
            RootKind::SelectStream => 8,
            _ => 0,
        }
    }

    pub const fn has(self, kind: RootKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    pub const fn union(self, other: Roots) -> Roots {
        Roots(self.0 | other.0)
    }
}

/// Columns that are written whatever the caller says.
pub type Presets = Vec<(ColumnId, Operand)>;

#[derive(Debug, Clone)]
pub struct InsertAccess {
    /// Columns that the caller may give.
    pub columns: ColumnSet,
    /// Holds for each new row.
    pub check: Arc<Predicate>,
    pub presets: Presets,
    pub backend_only: bool,
}

#[derive(Debug, Clone)]
pub struct UpdateAccess {
    pub columns: ColumnSet,
    /// The rows that may be changed.
    pub filter: Arc<Predicate>,
    /// Holds for each row afterwards. Without one, a row that an upsert updates
    /// has to pass the check of inserts.
    pub check: Option<Arc<Predicate>>,
    pub presets: Presets,
    pub backend_only: bool,
}

#[derive(Debug, Clone)]
pub struct DeleteAccess {
    pub filter: Arc<Predicate>,
    pub backend_only: bool,
}

impl SelectAccess {
    fn of_columns(columns: ColumnSet) -> Self {
        SelectAccess {
            readable: columns.clone(),
            columns,
            computed: ComputedAccess::All,
            filter: Arc::new(Predicate::TRUE),
            limit: None,
            aggregations: true,
            query_roots: Roots::ALL,
            subscription_roots: Roots::ALL,
            cells: BTreeMap::new(),
            computed_cells: BTreeMap::new(),
        }
    }
}

impl TableAccess {
    pub fn is_empty(&self) -> bool {
        self.select.is_none()
            && self.insert.is_none()
            && self.update.is_none()
            && self.delete.is_none()
    }

    /// What the GRANTs of a database role allow.
    pub fn granted(table: &Table, privileges: &TablePrivileges) -> Self {
        Self::with(
            table,
            privileges.select.clone(),
            privileges.insert.clone(),
            privileges.update.clone(),
            privileges.delete,
        )
    }

    /// All that the table allows.
    pub fn everything(table: &Table) -> Self {
        let all = ColumnSet::first(table.columns.len());
        Self::with(table, all.clone(), all.clone(), all, true)
    }

    fn with(
        table: &Table,
        select: ColumnSet,
        insert: ColumnSet,
        update: ColumnSet,
        delete: bool,
    ) -> Self {
        let writable = table.writable;
        let insert = written(table, &insert);
        let update = written(table, &update);
        let unconditional = || Arc::new(Predicate::TRUE);
        TableAccess {
            select: (!select.is_empty()).then(|| SelectAccess::of_columns(select)),
            insert: (writable.insert && !insert.is_empty()).then(|| InsertAccess {
                columns: insert,
                check: unconditional(),
                presets: Vec::new(),
                backend_only: false,
            }),
            update: (writable.update && !update.is_empty()).then(|| UpdateAccess {
                columns: update,
                filter: unconditional(),
                check: None,
                presets: Vec::new(),
                backend_only: false,
            }),
            delete: (writable.delete && delete)
                .then(|| DeleteAccess { filter: unconditional(), backend_only: false }),
        }
    }

    /// Takes away what the database does not grant to the role's database
    /// role: a mapped role needs both the permission and the GRANT.
    #[must_use]
    pub fn narrowed(&self, privileges: &TablePrivileges) -> Self {
        let mut out = self.clone();
        if let Some(select) = &mut out.select {
            select.columns = select.columns.intersection(&privileges.select);
            select.readable = privileges.select.clone();
        }
        if let Some(insert) = &mut out.insert {
            insert.columns = insert.columns.intersection(&privileges.insert);
        }
        if let Some(update) = &mut out.update {
            update.columns = update.columns.intersection(&privileges.update);
        }
        out.select = out.select.filter(|_| !privileges.select.is_empty());
        out.insert = out.insert.filter(|_| !privileges.insert.is_empty());
        out.update = out.update.filter(|_| !privileges.update.is_empty());
        out.delete = out.delete.filter(|_| privileges.delete);
        out
    }
}

/// Without the columns that no statement may give a value.
pub(super) fn written(table: &Table, columns: &ColumnSet) -> ColumnSet {
    let mut out = columns.clone();
    for column in &table.columns {
        if column.is_fixed() {
            out.remove(column.id);
        }
    }
    out
}
