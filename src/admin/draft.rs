//! A change in the making: one transaction of the owner, a copy of the
//! metadata, and the catalogue as the transaction sees it.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::MutexGuard;

use crate::base::{ApiError, Code};
use crate::catalog::load;
use crate::catalog::model::Catalog;
use crate::metadata::source::DEFAULT_SOURCE;
use crate::metadata::{Metadata, QualifiedName, Source, Table};
use crate::pg::SystemTx;
use crate::schema::tracked::{Inconsistency, ObjectKind, Tracked};
use crate::schema::types::Root;

use super::capture::{self, Uncaptured};
use super::enums::Enums;
use super::project::{Project, State, build};
use super::{grants, store};

pub(super) struct Draft<'a> {
    project: &'a Project,
    state: MutexGuard<'a, State>,
    tx: SystemTx,
    /// The metadata as it will be.
    pub(super) metadata: Metadata,
    catalog: Arc<Catalog>,
    /// The catalogue was read again.
    database_changed: bool,
    metadata_changed: bool,
    enums: Enums,
    tracked: Arc<Tracked>,
}

impl<'a> Draft<'a> {
    pub(super) async fn begin(project: &'a Project) -> Result<Self, ApiError> {
        if !project.is_stored() {
            return Err(ApiError::new(
                Code::NotSupported,
                "there is no metadata in the database to change: give the owner's login in database.owner_url, \
                 and leave metadata.dir out",
            ));
        }
        let mut state = project.state().lock().await;
        let tx = project.pg().begin_system("change the metadata").await?;
        store::lock(&tx).await?;
        let version = store::version(&tx).await?;
        let overtaken = version != state.version;
        if overtaken && let Some(found) = store::load(&tx).await? {
            // Another server was first.
            state.metadata = Some(Arc::new(found.metadata));
            state.version = Some(found.version);
            state.enums.clear();
        }
        let catalog = project.watch().current();
        let current = !overtaken && catalog.generation == state.catalog.generation;
        let mut draft = Draft {
            project,
            tx,
            metadata: state.metadata.as_deref().cloned().unwrap_or_else(Metadata::empty),
            catalog,
            database_changed: false,
            metadata_changed: false,
            enums: state.enums.clone(),
            tracked: state.tracked.clone(),
            state,
        };
        if !current {
            draft.tracked = draft.build().await?;
        }
        Ok(draft)
    }

    pub(super) fn tx(&self) -> &SystemTx {
        &self.tx
    }

    pub(super) fn tx_mut(&mut self) -> &mut SystemTx {
        &mut self.tx
    }

    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// What would be shown now.
    pub(super) fn tracked(&self) -> &Arc<Tracked> {
        &self.tracked
    }

    pub(super) fn version(&self) -> Option<i64> {
        self.state.version
    }

    /// Whether metadata was ever stored.
    pub(super) fn has_metadata(&self) -> bool {
        self.state.metadata.is_some() || self.metadata_changed
    }

    pub(super) fn source(&self, name: &str) -> Result<&Source, ApiError> {
        self.metadata.source(name).ok_or_else(|| no_source(name))
    }

    pub(super) fn source_mut(&mut self, name: &str) -> Result<&mut Source, ApiError> {
        self.metadata.source_mut(name).ok_or_else(|| no_source(name))
    }

    /// A table of the metadata.
    pub(super) fn table_mut(
        &mut self,
        source: &str,
        name: &QualifiedName,
    ) -> Result<&mut Table, ApiError> {
        self.source_mut(source)?.table_mut(name).ok_or_else(|| no_table(source, name))
    }

    async fn build(&mut self) -> Result<Arc<Tracked>, ApiError> {
        let metadata = self.has_metadata().then_some(&self.metadata);
        let (schema, enums) = (self.project.schema(), &mut self.enums);
        Ok(build(&self.tx, schema, &self.catalog, metadata, enums, &self.state.uncaptured).await?)
    }

    /// Forgets what was read of enum tables.
    pub(super) fn forget_enums(&mut self) {
        self.enums.clear();
    }

    /// Reads the catalogue again, as the transaction sees it.
    pub(super) async fn read_catalog(&mut self) -> Result<Arc<Catalog>, ApiError> {
        let mut catalog = load::load(&self.tx, self.project.schema()).await?;
        if catalog.fingerprint == self.catalog.fingerprint {
            return Ok(self.catalog.clone());
        }
        catalog.generation = self.project.watch().next_generation();
        self.catalog = Arc::new(catalog);
        self.database_changed = true;
        Ok(self.catalog.clone())
    }

    /// After a change: works out what is shown now, and refuses what the
    /// change broke. `object` is what the change was about, by kind and name.
    pub(super) async fn check(
        &mut self,
        object: Option<(ObjectKind, String)>,
    ) -> Result<(), ApiError> {
        let known = self.tracked.clone();
        let broken = self.rebuild().await?;
        if broken.is_empty() {
            return Ok(());
        }
        if let Some(message) = duplicated(&self.tracked, &known) {
            return Err(ApiError::new(Code::Unexpected, message).with_status(500));
        }
        let about = |found: &&Inconsistency| {
            object.as_ref().is_some_and(|(kind, name)| found.kind == *kind && found.name == *name)
        };
        let own: Vec<&Inconsistency> = broken.iter().filter(about).collect();
        if own.is_empty() {
            return Err(ApiError::new(
                Code::Unexpected,
                "cannot continue due to new inconsistent metadata",
            )
            .with_status(400)
            .with_internal(serde_json::to_value(&broken).unwrap_or(Value::Null)));
        }
        let reasons: Vec<&str> = own.iter().map(|found| found.reason.as_str()).collect();
        Err(ApiError::new(Code::InvalidConfiguration, reasons.join(", "))
            .with_status(400)
            .with_internal(serde_json::to_value(&own).unwrap_or(Value::Null)))
    }

    /// Works out what is shown now; answers what is broken and was not before.
    pub(super) async fn rebuild(&mut self) -> Result<Vec<Inconsistency>, ApiError> {
        self.metadata_changed = true;
        let tracked = self.build().await?;
        let known = &self.tracked.inconsistencies;
        let broken = tracked
            .inconsistencies
            .iter()
            .filter(|found| found.breaks && !is_known(known, found))
            .cloned()
            .collect();
        self.tracked = tracked;
        Ok(broken)
    }

    /// Works out what is shown now, whatever is broken.
    pub(super) async fn refresh(&mut self) -> Result<(), ApiError> {
        self.tracked = self.build().await?;
        Ok(())
    }

    /// Works out what is shown now; whether that broke something.
    pub(super) async fn breaks(&mut self) -> Result<bool, ApiError> {
        let known = self.tracked.inconsistencies.clone();
        let tracked = self.build().await?;
        let breaks =
            tracked.inconsistencies.iter().any(|found| found.breaks && !is_known(&known, found));
        if !breaks {
            self.tracked = tracked;
        }
        Ok(breaks)
    }

    /// Lets the database's triggers follow the metadata.
    async fn capture_events(&mut self) -> Result<(), ApiError> {
        let before = self.state.metadata.as_deref();
        if !capture::concerns(before) && !capture::concerns(Some(&self.metadata)) {
            return Ok(());
        }
        let (mut uncaptured, mut changed) = (Uncaptured::new(), false);
        for source in self.metadata.sources.iter().filter(|found| *found.name == *DEFAULT_SOURCE) {
            let completed = capture::complete(&self.tx, source, &self.catalog, true).await?;
            uncaptured.extend(completed.uncaptured);
            changed |= completed.changed;
        }
        let known = &self.state.uncaptured;
        if let Some(((_, trigger), reason)) =
            uncaptured.iter().find(|(key, _)| !known.contains_key(*key))
        {
            return Err(ApiError::new(
                Code::InvalidConfiguration,
                format!("the event trigger \"{trigger}\" cannot be made in the database: {reason}"),
            )
            .with_status(400));
        }
        changed |= uncaptured != *known;
        if changed {
            self.state.uncaptured = uncaptured;
            // The settings that a trigger reads are written from now on.
            self.read_catalog().await?;
            self.tracked = self.build().await?;
        }
        Ok(())
    }

    /// Makes the change that of everybody.
    pub(super) async fn commit(mut self) -> Result<(), ApiError> {
        let mut version = self.state.version;
        if self.metadata_changed {
            version = Some(store::save(&self.tx, &self.metadata).await?);
        }
        if self.metadata_changed || self.database_changed {
            self.capture_events().await?;
        }
        if self.has_metadata() {
            // What this changes in the catalogue concerns our own roles only,
            // and the watch will see it.
            grants::complete(&self.tx, &self.tracked).await?;
        }
        self.tx.commit().await?;
        if self.database_changed {
            self.project.pg().forget_plans();
            self.project.watch().adopt(self.catalog.clone());
        }
        let state = &mut *self.state;
        if self.metadata_changed {
            state.metadata = Some(Arc::new(self.metadata));
        }
        state.version = version;
        state.catalog = self.catalog;
        state.enums = self.enums;
        self.project.install(state, self.tracked);
        Ok(())
    }
}

/// Whether an object was broken before.
fn is_known(known: &[Inconsistency], found: &Inconsistency) -> bool {
    known.iter().any(|old| old.breaks && old.kind == found.kind && old.name == found.name)
}

/// What Hasura says of names at a root that are there twice.
fn duplicated(now: &Tracked, before: &Tracked) -> Option<String> {
    let names = |root: Root| {
        let new = now.duplicates.iter().filter(|entry| !before.duplicates.contains(entry));
        let names: Vec<&str> =
            new.filter(|(of, _)| *of == root).map(|(_, name)| name.as_ref()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(names) = names(Root::Mutation) {
        return Some(format!("found duplicate fields in selection set for mutation root: {names}"));
    }
    names(Root::Query).map(|names| format!("found duplicate fields in selection set: {names}"))
}

pub(super) fn no_source(name: &str) -> ApiError {
    ApiError::new(Code::NotExists, format!("source with name \"{name}\" does not exist"))
}

pub(super) fn no_table(source: &str, name: &QualifiedName) -> ApiError {
    ApiError::new(Code::NotExists, format!("table \"{name}\" does not exist in source: {source}"))
        .at(crate::base::JsonPath::root().key("args").key("table"))
}
