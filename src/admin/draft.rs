//! A change in the making: one transaction of the owner, a copy of the
//! metadata, and the catalogue as the transaction sees it.

use std::collections::BTreeSet;
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
use super::project::{Open, Parts, Project, State, build, is_current, served};
use super::sources::{FurtherSources, Served};
use super::{grants, store};

pub(super) struct Draft<'a> {
    project: &'a Project,
    state: MutexGuard<'a, State>,
    tx: SystemTx,
    /// What was stored when the change began.
    stored: Stored,
    /// The metadata as it will be.
    pub(super) metadata: Metadata,
    catalog: Arc<Catalog>,
    /// The catalogue was read again.
    database_changed: bool,
    metadata_changed: bool,
    enums: Enums,
    /// The sources beside the first one.
    further: FurtherSources,
    /// Transactions in their databases, begun when something needs one.
    open: Open,
    /// Whose catalogues were read again.
    further_changed: BTreeSet<Arc<str>>,
    /// Old and new names of sources.
    renamed: Vec<(Arc<str>, Arc<str>)>,
    tracked: Arc<Tracked>,
}

/// Metadata in the database; both are `None` as long as none was ever stored.
struct Stored {
    metadata: Option<Arc<Metadata>>,
    version: Option<i64>,
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
        let mut stored = Stored { metadata: state.metadata.clone(), version: state.version };
        let overtaken = version != state.version;
        if overtaken && let Some(mut found) = store::load(&tx).await? {
            if let Some(known) = &stored.metadata {
                found.metadata.share(known);
            }
            // Another server was first. What is served follows when this change
            // commits, or with the other's notification.
            stored.metadata = Some(Arc::new(found.metadata));
            stored.version = Some(found.version);
            state.forget_enums();
        }
        let catalog = project.watch().current();
        let current = !overtaken
            && catalog.generation == state.catalog.generation
            && state.further.values().all(is_current);
        let mut further = state.further.clone();
        for served in further.values_mut().filter_map(|further| further.database.as_mut().ok()) {
            served.catalog = served.database.watch.current();
        }
        let mut draft = Draft {
            project,
            tx,
            metadata: stored.metadata.as_deref().cloned().unwrap_or_else(Metadata::empty),
            stored,
            catalog,
            database_changed: false,
            metadata_changed: false,
            enums: state.enums.clone(),
            further,
            open: Open::new(),
            further_changed: BTreeSet::new(),
            renamed: Vec::new(),
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

    /// The transaction in a source.
    pub(super) async fn tx_in(&mut self, source: &str) -> Result<&mut SystemTx, ApiError> {
        if source == DEFAULT_SOURCE {
            return Ok(&mut self.tx);
        }
        if !self.open.contains_key(source) {
            let pg = &self.served(source)?.database.pg;
            let tx = pg.begin_system("change a source").await?;
            self.open.insert(source.into(), tx);
        }
        self.open.get_mut(source).ok_or_else(|| ApiError::internal("a transaction is gone"))
    }

    /// A further source that is served.
    fn served(&self, source: &str) -> Result<&Served, ApiError> {
        match self.further.get(source).map(|further| &further.database) {
            Some(Ok(served)) => Ok(served),
            Some(Err(reason)) => Err(ApiError::new(
                Code::Unexpected,
                format!("source with name \"{source}\" is inconsistent: {reason}"),
            )
            .with_status(400)),
            None => Err(no_source(source)),
        }
    }

    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    pub(super) fn catalog_of(&self, source: &str) -> Result<&Arc<Catalog>, ApiError> {
        if source == DEFAULT_SOURCE {
            return Ok(&self.catalog);
        }
        self.served(source).map(|served| &served.catalog)
    }

    /// What would be shown now.
    pub(super) fn tracked(&self) -> &Arc<Tracked> {
        &self.tracked
    }

    pub(super) fn version(&self) -> Option<i64> {
        self.stored.version
    }

    /// Whether metadata was ever stored.
    pub(super) fn has_metadata(&self) -> bool {
        self.stored.metadata.is_some() || self.metadata_changed
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
        let parts = Parts {
            catalog: &self.catalog,
            metadata,
            enums: &mut self.enums,
            further: &mut self.further,
            open: &self.open,
            uncaptured: &self.state.uncaptured,
            before: &self.tracked,
        };
        let project = self.project;
        // Boxed: it may open databases, and runs inside of every command.
        Ok(Box::pin(build(&self.tx, project.schema(), project.opener(), parts)).await?)
    }

    /// Forgets what was read of enum tables.
    pub(super) fn forget_enums(&mut self) {
        self.enums.clear();
        for served in self.further.values_mut().filter_map(|further| further.database.as_mut().ok())
        {
            served.enums.clear();
        }
    }

    /// Lets sources that are not served be tried again.
    pub(super) fn forget_unserved(&mut self) {
        self.further.retain(|_, further| further.database.is_ok());
    }

    /// A source goes on under another name, with the database that it has.
    pub(super) fn rename_source(&mut self, old: &Arc<str>, new: &Arc<str>) {
        if let Some(further) = self.further.remove(old) {
            self.further.insert(new.clone(), further);
        }
        if let Some(tx) = self.open.remove(old) {
            self.open.insert(new.clone(), tx);
        }
        if self.further_changed.remove(old) {
            self.further_changed.insert(new.clone());
        }
        match self.renamed.iter_mut().find(|(_, name)| name == old) {
            Some((_, name)) => *name = new.clone(),
            None => self.renamed.push((old.clone(), new.clone())),
        }
    }

    /// The names of the sources that are served.
    pub(super) fn served_sources(&self) -> Vec<Arc<str>> {
        let own = std::iter::once(DEFAULT_SOURCE.into());
        own.chain(served(&self.further).map(|(name, _)| name.clone())).collect()
    }

    /// Reads the catalogue of a source again, as the transaction there sees it.
    pub(super) async fn read_catalog_of(&mut self, source: &str) -> Result<Arc<Catalog>, ApiError> {
        if source == DEFAULT_SOURCE {
            return self.read_catalog().await;
        }
        let schema = self.project.schema().clone();
        let mut catalog = load::load(self.tx_in(source).await?, &schema).await?;
        let served = match self.further.get_mut(source).map(|further| &mut further.database) {
            Some(Ok(served)) => served,
            _ => return Err(no_source(source)),
        };
        if catalog.fingerprint == served.catalog.fingerprint {
            return Ok(served.catalog.clone());
        }
        catalog.generation = served.database.watch.next_generation();
        served.catalog = Arc::new(catalog);
        self.further_changed.insert(source.into());
        Ok(served.catalog.clone())
    }

    /// After SQL that may have ended the transaction, as migrations with a BEGIN
    /// and a COMMIT of their own do: the change goes on in another one.
    pub(super) async fn resume(&mut self, source: &str) -> Result<(), ApiError> {
        // Inside of a transaction it does nothing but warn.
        self.tx_in(source).await?.batch("begin").await?;
        if source != DEFAULT_SOURCE {
            return Ok(());
        }
        store::lock(&self.tx).await?;
        if store::version(&self.tx).await? == self.stored.version {
            return Ok(());
        }
        Err(ApiError::new(
            Code::Conflict,
            "the SQL ended its transaction, and the metadata was changed by somebody else before the next began; \
             send what remains again",
        ))
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

    /// Lets the databases' triggers follow the metadata.
    async fn capture_events(&mut self) -> Result<(), ApiError> {
        let mut uncaptured = Uncaptured::new();
        let mut changed = Vec::new();
        for name in self.served_sources() {
            let renamed = self.renamed.iter().find(|(_, new)| *new == name);
            let former = renamed.map(|(old, _)| old.clone());
            let known = former.as_ref().unwrap_or(&name);
            let before = self.stored.metadata.as_ref().and_then(|metadata| metadata.source(known));
            let Some(source) = self.metadata.source(&name).cloned() else { continue };
            if !capture::concerns(before) && !capture::concerns(Some(&source)) {
                continue;
            }
            let catalog = self.catalog_of(&name)?.clone();
            let tx = self.tx_in(&name).await?;
            if let Some(former) = former {
                capture::rename(tx, &former, &name, &catalog).await?;
            }
            let completed = capture::complete(tx, &source, &catalog, true).await?;
            uncaptured.extend(completed.uncaptured);
            if completed.changed {
                changed.push(name);
            }
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
        if !changed.is_empty() || uncaptured != *known {
            self.state.uncaptured = uncaptured;
            // The settings that a trigger reads are written from now on.
            for name in changed {
                self.read_catalog_of(&name).await?;
            }
            self.tracked = self.build().await?;
        }
        Ok(())
    }

    /// Takes the triggers of sources that are taken out away. Answers
    /// transactions that are to be committed.
    async fn leave_sources(&self) -> Result<Vec<SystemTx>, ApiError> {
        let mut left = Vec::new();
        let Some(before) = self.stored.metadata.as_deref() else { return Ok(left) };
        for (name, known) in served(&self.state.further) {
            let stays =
                served(&self.further).any(|(_, now)| Arc::ptr_eq(&now.database, &known.database));
            if stays || !capture::concerns(before.source(name)) {
                continue;
            }
            let tx = known.database.pg.begin_system("leave a source").await?;
            let nothing = Source::new(name.clone(), Value::Null);
            capture::complete(&tx, &nothing, &known.catalog, true).await?;
            left.push(tx);
        }
        Ok(left)
    }

    /// Rights of our own roles on what is tracked now.
    async fn complete_grants(&mut self) -> Result<(), ApiError> {
        let tracked = self.tracked.clone();
        for name in self.served_sources() {
            let Some(id) = tracked.source_named(&name) else { continue };
            if name.as_ref() != DEFAULT_SOURCE {
                let before = self.stored.metadata.as_ref().and_then(|old| old.source(&name));
                let same =
                    before == self.metadata.source(&name) && !self.further_changed.contains(&name);
                if same || !self.served(&name)?.database.pg.has_owner() {
                    continue;
                }
            }
            // In the same database, what metadata showed before has them.
            let same = self.stored.metadata.is_some()
                && !self.database_changed
                && self.further_changed.is_empty();
            let before = same.then(|| self.state.tracked.clone());
            grants::complete(self.tx_in(&name).await?, &tracked, id, before.as_deref()).await?;
        }
        Ok(())
    }

    /// Makes the change that of everybody.
    pub(super) async fn commit(mut self) -> Result<(), ApiError> {
        let mut version = self.stored.version;
        if self.metadata_changed || self.database_changed || !self.further_changed.is_empty() {
            self.capture_events().await?;
        }
        if self.metadata_changed {
            version = Some(store::save(&self.tx, self.metadata.clone()).await?);
        }
        if self.has_metadata() {
            // What this changes in the catalogue concerns our own roles only,
            // and the watch will see it.
            self.complete_grants().await?;
        }
        // No transaction spans two databases. That of the metadata comes last:
        // what it says is there then.
        let left = self.leave_sources().await?;
        for tx in std::mem::take(&mut self.open).into_values().chain(left) {
            tx.commit().await?;
        }
        self.tx.commit().await?;
        if self.database_changed {
            self.project.pg().forget_plans();
            self.project.watch().adopt(self.catalog.clone());
        }
        for name in &self.further_changed {
            if let Some(Ok(served)) = self.further.get(name).map(|further| &further.database) {
                served.database.pg.forget_plans();
                served.database.watch.adopt(served.catalog.clone());
            }
        }
        let state = &mut *self.state;
        state.metadata = if self.metadata_changed {
            Some(Arc::new(self.metadata))
        } else {
            self.stored.metadata
        };
        state.version = version;
        state.catalog = self.catalog;
        state.enums = self.enums;
        state.further = self.further;
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
