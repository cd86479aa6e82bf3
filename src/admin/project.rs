//! What the server serves: the catalogue, the metadata, and what comes of the
//! two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use crate::action::HandlerOptions;
use crate::base::ApiError;
use crate::catalog::model::Oid;
use crate::catalog::{Catalog, Watch};
use crate::config::{AutoTrack, Config, SchemaConfig};
use crate::engine::{Engine, EngineLimits};
use crate::metadata::source::DEFAULT_SOURCE;
use crate::metadata::{Metadata, Source};
use crate::pg::{Pg, PgError, SystemTx};
use crate::response_cache::ResponseCache;
use crate::schema::SchemaOptions;
use crate::schema::tracked::{self, BuildOptions, Connection, Inconsistency, SourceInput, Tracked};
use crate::sql::InvalidIdent;

use super::capture::{self, Uncaptured};
use super::draft::Draft;
use super::enums::{self, Enums};
use super::grants;
use super::sources::{self, Further, FurtherSources, Opener, Served};
use super::store::{self, StoreError};

/// The channel on which servers tell each other that the metadata changed; the
/// payload is its version.
pub const CHANNEL: &str = "ringfence_metadata";

#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error(transparent)]
    Database(#[from] PgError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a name of the catalogue cannot be printed: {0}")]
    Name(#[from] InvalidIdent),
    #[error("the work on the metadata ended before its time: {0}")]
    Work(#[from] tokio::task::JoinError),
}

impl From<ProjectError> for ApiError {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Database(error) => error.into(),
            ProjectError::Store(error) => error.into(),
            ProjectError::Name(_) | ProjectError::Work(_) => ApiError::internal(error.to_string()),
        }
    }
}

/// How a project is put together.
#[derive(Debug)]
pub struct ProjectOptions {
    pub config: Config,
    pub roles: SchemaOptions,
    pub limits: EngineLimits,
    /// Between two readings of a subscription.
    pub poll_interval: Duration,
    pub handlers: HandlerOptions,
    pub answers: ResponseCache,
    /// Metadata that is not in the database but given at start.
    pub metadata: Option<Metadata>,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Project(Arc<Inner>);

struct Inner {
    pg: Pg,
    watch: Watch,
    engine: Arc<Engine>,
    schema: SchemaConfig,
    opener: Opener,
    /// Held while something changes; requests do not take it.
    state: Mutex<State>,
    /// Metadata is in the database.
    stored: bool,
}

impl std::fmt::Debug for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Project").finish_non_exhaustive()
    }
}

/// What is served now.
pub(super) struct State {
    /// `None` as long as no metadata was ever stored or given.
    pub metadata: Option<Arc<Metadata>>,
    pub version: Option<i64>,
    pub catalog: Arc<Catalog>,
    pub enums: Enums,
    /// The sources beside the first one.
    pub further: FurtherSources,
    /// Event triggers that could not be made.
    pub uncaptured: Uncaptured,
    pub tracked: Arc<Tracked>,
}

impl Project {
    /// Loads the metadata and makes an engine for it.
    pub async fn start(
        pg: Pg,
        watch: Watch,
        options: ProjectOptions,
    ) -> Result<Project, ProjectError> {
        let opener = Opener::new(options.config.clone());
        let catalog = watch.current();
        let is_given = options.metadata.is_some();
        let mut metadata = options.metadata.map(Arc::new);
        let mut version = None;
        let tx = pg.begin_system("read the metadata").await?;
        // A database that takes no writes may never have been given a place for it.
        let stored = pg.has_owner() && !is_given && store::is_readable(&tx).await?;
        if stored && let Some(found) = store::load(&tx).await? {
            version = Some(found.version);
            metadata = Some(Arc::new(found.metadata));
        }
        let mut state = State {
            metadata,
            version,
            catalog,
            enums: Enums::new(),
            further: FurtherSources::new(),
            uncaptured: Uncaptured::new(),
            tracked: Arc::default(),
        };
        let tracked =
            Box::pin(refresh(&tx, (&pg, &watch), &options.config.schema, &opener, &mut state))
                .await?;
        tx.commit().await?;
        report(&tracked.inconsistencies);
        let engine = Engine::new(pg.clone(), Arc::default(), options.roles, options.limits)
            .poll_every(options.poll_interval)
            .call_handlers(options.handlers)
            .keep_answers(options.answers);
        let project = Project(Arc::new(Inner {
            pg,
            watch,
            engine: Arc::new(engine),
            schema: options.config.schema,
            opener,
            state: Mutex::new(state),
            stored,
        }));
        project.install(&mut *project.0.state.lock().await, tracked);
        Ok(project)
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    pub(super) fn pg(&self) -> &Pg {
        &self.0.pg
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    pub(super) fn schema(&self) -> &SchemaConfig {
        &self.0.schema
    }

    /// Whether metadata is in the database, where commands can change it.
    pub fn is_stored(&self) -> bool {
        self.0.stored
    }

    pub(super) fn state(&self) -> &Mutex<State> {
        &self.0.state
    }

    /// The tables that metadata names.
    pub async fn tracked_tables(&self) -> BTreeSet<Oid> {
        let state = self.0.state.lock().await;
        let metadata = state.metadata.as_deref();
        let source = metadata.and_then(|metadata| metadata.source(DEFAULT_SOURCE));
        source.map(|source| named_tables(source, &state.catalog)).unwrap_or_default()
    }

    pub(super) fn opener(&self) -> &Opener {
        &self.0.opener
    }

    /// Told when the catalogue of a further source is another one; then
    /// [`Project::catalog_changed`] is to be called.
    pub fn source_changed(&self) -> Arc<Notify> {
        self.0.opener.changed.clone()
    }

    /// A database refused a role: rights may have changed in any.
    pub async fn suspect_roles(&self) {
        self.0.watch.suspect_roles();
        let state = self.0.state.lock().await;
        for (_, served) in served(&state.further) {
            served.database.watch.suspect_roles();
        }
    }

    /// Tries again to reach the sources that are not served.
    pub async fn retry_sources(&self) -> Result<(), ProjectError> {
        let unserved: Vec<Source> = {
            let state = self.0.state.lock().await;
            let unserved = state.further.iter().filter(|(_, further)| further.database.is_err());
            let metadata = state.metadata.as_deref();
            unserved.filter_map(|(name, _)| metadata?.source(name).cloned()).collect()
        };
        // A database that is down takes its time, while which nothing waits.
        let mut opened = Vec::new();
        for source in &unserved {
            let further = Box::pin(self.0.opener.open(source)).await;
            if further.database.is_ok() {
                opened.push((&source.name, further));
            }
        }
        let mut state = self.0.state.lock().await;
        let mut found = false;
        for (name, further) in opened {
            // Somebody may have changed or opened it meanwhile.
            if let Some(known) = state.further.get_mut(name)
                && known.database.is_err()
                && known.configuration == further.configuration
                && known.customization == further.customization
            {
                *known = further;
                found = true;
            }
        }
        if !found {
            return Ok(());
        }
        let (catalog, metadata) = (state.catalog.clone(), state.metadata.clone());
        self.reload(&mut state, catalog, metadata, None).await
    }

    /// Parts of the metadata that are left out.
    pub async fn inconsistencies(&self) -> Vec<Inconsistency> {
        self.0.state.lock().await.tracked.inconsistencies.clone()
    }

    /// The catalogue that the watch has is another one.
    pub async fn catalog_changed(&self) -> Result<(), ProjectError> {
        let mut state = self.0.state.lock().await;
        let catalog = self.0.watch.current();
        if catalog.generation == state.catalog.generation && state.further.values().all(is_current)
        {
            return Ok(());
        }
        let metadata = state.metadata.clone();
        self.reload(&mut state, catalog, metadata, None).await
    }

    /// Another server may have changed the metadata.
    pub async fn metadata_changed(&self) -> Result<(), ProjectError> {
        if !self.0.stored {
            return Ok(());
        }
        let mut state = self.0.state.lock().await;
        let tx = self.0.pg.begin_system("read the metadata").await?;
        let found = if store::version(&tx).await? == state.version {
            None
        } else {
            store::load(&tx).await?
        };
        tx.commit().await?;
        let Some(mut found) = found else { return Ok(()) };
        if let Some(known) = &state.metadata {
            found.metadata.share(known);
        }
        tracing::info!(version = found.version, "the metadata was changed by another server");
        let catalog = self.0.watch.current();
        state.forget_enums();
        self.reload(&mut state, catalog, Some(Arc::new(found.metadata)), Some(found.version)).await
    }

    async fn reload(
        &self,
        state: &mut State,
        catalog: Arc<Catalog>,
        metadata: Option<Arc<Metadata>>,
        version: Option<i64>,
    ) -> Result<(), ProjectError> {
        let tx = self.0.pg.begin_system("follow a change").await?;
        state.catalog = catalog;
        state.metadata = metadata;
        state.version = version.or(state.version);
        let own = (&self.0.pg, &self.0.watch);
        let tracked = Box::pin(refresh(&tx, own, &self.0.schema, &self.0.opener, state)).await?;
        tx.commit().await?;
        if tracked.inconsistencies != state.tracked.inconsistencies {
            report(&tracked.inconsistencies);
        }
        self.install(state, tracked);
        Ok(())
    }

    pub(super) fn install(&self, state: &mut State, tracked: Arc<Tracked>) {
        let mut used = BTreeSet::new();
        for served in state.further.values().filter_map(|further| further.database.as_ref().ok()) {
            let database = &served.database;
            used.insert(database.connection.database);
            self.0.engine.attach(database.connection.database, database.pg.clone());
        }
        state.tracked = tracked.clone();
        self.0.engine.install(tracked, state.version);
        self.0.engine.detach_others(&used);
    }

    /// Begins a change of metadata or database.
    pub(super) async fn draft(&self) -> Result<Draft<'_>, ApiError> {
        Draft::begin(self).await
    }
}

/// The tables that the stored metadata names, for those who do not serve it.
pub async fn stored_tables(
    tx: &SystemTx,
    catalog: &Catalog,
) -> Result<BTreeSet<Oid>, ProjectError> {
    let stored = if store::is_readable(tx).await? { store::load(tx).await? } else { None };
    let source = stored.as_ref().and_then(|stored| stored.metadata.source(DEFAULT_SOURCE));
    Ok(source.map(|source| named_tables(source, catalog)).unwrap_or_default())
}

pub(super) fn named_tables(source: &Source, catalog: &Catalog) -> BTreeSet<Oid> {
    source
        .tables
        .iter()
        .filter_map(|written| catalog.table_named(&written.table.schema, &written.table.name))
        .map(|table| table.oid)
        .collect()
}

/// Whether a further source is served with the catalogue that its database has.
pub(super) fn is_current(further: &Further) -> bool {
    let Ok(served) = &further.database else { return true };
    served.database.watch.current().generation == served.catalog.generation
}

/// Works out what is shown now, and makes what metadata needs in the databases:
/// triggers and rights may be missing when another server, or Hasura, wrote the
/// metadata.
async fn refresh(
    tx: &SystemTx,
    (pg, watch): (&Pg, &Watch),
    schema: &SchemaConfig,
    opener: &Opener,
    state: &mut State,
) -> Result<Arc<Tracked>, ProjectError> {
    let metadata = state.metadata.clone();
    let Some(metadata) = metadata.as_deref() else {
        return build(tx, schema, opener, state.parts(&Open::new())).await;
    };
    sources::attend(opener, metadata, &mut state.further).await;
    for served in state.further.values_mut().filter_map(|further| further.database.as_mut().ok()) {
        served.catalog = served.database.watch.current();
    }
    state.uncaptured.clear();
    if pg.has_owner()
        && let Some(source) = metadata.source(DEFAULT_SOURCE)
    {
        let found = capture_events(tx, watch, source, &state.catalog).await;
        state.uncaptured.extend(found);
    }
    for (name, served) in served(&state.further) {
        let pg = &served.database.pg;
        if let Some(source) = metadata.source(name).filter(|_| pg.has_owner()) {
            let found = in_source(pg, async |tx| {
                Ok(capture_events(tx, &served.database.watch, source, &served.catalog).await)
            });
            match found.await {
                Ok(found) => state.uncaptured.extend(found),
                Err(error) => {
                    unprepared(name, &error);
                    state.uncaptured.extend(capture::unknown(source, &error));
                }
            }
        }
    }
    let tracked = build(tx, schema, opener, state.parts(&Open::new())).await?;
    if pg.has_owner() {
        complete_grants(tx, &tracked, DEFAULT_SOURCE).await;
    }
    for (name, served) in served(&state.further) {
        if served.database.pg.has_owner() {
            let tracked = &tracked;
            let work = async |tx: &SystemTx| {
                complete_grants(tx, tracked, name).await;
                Ok(())
            };
            if let Err(error) = in_source(&served.database.pg, work).await {
                unprepared(name, &error);
            }
        }
    }
    Ok(tracked)
}

/// The further sources that are served.
pub(super) fn served(further: &FurtherSources) -> impl Iterator<Item = (&Arc<str>, &Served)> {
    further.iter().filter_map(|(name, further)| Some((name, further.database.as_ref().ok()?)))
}

/// Does something in the database of a further source.
async fn in_source<T>(
    pg: &Pg,
    work: impl AsyncFnOnce(&SystemTx) -> Result<T, PgError>,
) -> Result<T, PgError> {
    let tx = pg.begin_system("prepare a source").await?;
    let done = work(&tx).await?;
    tx.commit().await?;
    Ok(done)
}

/// That something cannot be done in a source is no reason to serve nothing.
fn unprepared(source: &str, error: &PgError) {
    tracing::error!(source, %error, "a source could not be prepared");
}

async fn complete_grants(tx: &SystemTx, tracked: &Tracked, source: &str) {
    let Some(source) = tracked.source_named(source) else { return };
    if let Err(error) = grants::complete(tx, tracked, source, None).await {
        tracing::warn!(%error, "rights on tracked objects could not be completed");
    }
}

/// Makes the triggers that metadata names and the database lacks.
async fn capture_events(
    tx: &SystemTx,
    watch: &Watch,
    source: &Source,
    catalog: &Catalog,
) -> Uncaptured {
    if !capture::concerns(Some(source)) {
        return Uncaptured::new();
    }
    match capture::complete(tx, source, catalog, false).await {
        Ok(completed) => {
            if completed.changed {
                watch.notified();
            }
            completed.uncaptured
        }
        Err(error) => {
            tracing::error!(%error, "event triggers could not be looked after; what they would capture may be lost");
            capture::unknown(source, &error)
        }
    }
}

fn report(inconsistencies: &[Inconsistency]) {
    for object in inconsistencies {
        let (object_name, reason) = (&object.name, &object.reason);
        if object.breaks {
            tracing::warn!(object = %object_name, %reason, "part of the metadata is left out");
        } else {
            tracing::warn!(object = %object_name, %reason, "a trigger is not delivered");
        }
    }
}

/// Transactions of further sources, by name.
pub(super) type Open = BTreeMap<Arc<str>, SystemTx>;

/// What the schema is built from.
pub(super) struct Parts<'a> {
    pub catalog: &'a Arc<Catalog>,
    pub metadata: Option<&'a Metadata>,
    pub enums: &'a mut Enums,
    pub further: &'a mut FurtherSources,
    pub open: &'a Open,
    pub uncaptured: &'a Uncaptured,
    /// What was shown before.
    pub before: &'a Arc<Tracked>,
}

impl State {
    /// Lets enum tables be read again.
    pub(super) fn forget_enums(&mut self) {
        self.enums.clear();
        for served in self.further.values_mut().filter_map(|further| further.database.as_mut().ok())
        {
            served.enums.clear();
        }
    }

    fn parts<'a>(&'a mut self, open: &'a Open) -> Parts<'a> {
        Parts {
            catalog: &self.catalog,
            metadata: self.metadata.as_deref(),
            enums: &mut self.enums,
            further: &mut self.further,
            open,
            uncaptured: &self.uncaptured,
            before: &self.tracked,
        }
    }
}

/// What is shown of the catalogues with metadata, or without.
pub(super) async fn build(
    tx: &SystemTx,
    schema: &SchemaConfig,
    opener: &Opener,
    parts: Parts<'_>,
) -> Result<Arc<Tracked>, ProjectError> {
    let Parts { catalog, metadata, enums, further, open, uncaptured, before } = parts;
    let own = metadata.and_then(|metadata| metadata.source(DEFAULT_SOURCE));
    if let Some(source) = own {
        enums::read(tx, catalog, source, enums).await?;
    }
    if let Some(metadata) = metadata {
        sources::attend(opener, metadata, further).await;
        sources::read_enums(metadata, further, open).await;
    }
    let auto_track = match schema.auto_track {
        AutoTrack::On => true,
        AutoTrack::Off => false,
        // Empty metadata is metadata.
        AutoTrack::Auto => metadata.is_none(),
    };
    let mut inputs = vec![OwnedInput {
        name: DEFAULT_SOURCE.into(),
        catalog: catalog.clone(),
        connection: Connection::default(),
        auto_track,
        enums: enums.clone(),
    }];
    let mut missing = Vec::new();
    for source in metadata.into_iter().flat_map(|metadata| &metadata.sources) {
        match further.get(&source.name).map(|further| &further.database) {
            Some(Ok(served)) => inputs.push(OwnedInput {
                name: source.name.clone(),
                catalog: served.catalog.clone(),
                connection: served.database.connection.clone(),
                auto_track: false,
                enums: served.enums.clone(),
            }),
            Some(Err(reason)) => missing.push(Inconsistency::of_source(&source.name, reason)),
            None => {}
        }
    }
    let (metadata, expose) = (metadata.cloned(), schema.expose.clone());
    let naming = schema.default_naming_convention;
    let before = before.clone();
    // Long work, while which the threads of requests stay free.
    let work = tokio::task::spawn_blocking(move || {
        let metadata = metadata.as_ref();
        let inputs: Vec<SourceInput<'_>> =
            inputs.iter().map(|input| input.with(metadata)).collect();
        let options = BuildOptions { before: Some(&before), expose: &expose, naming, metadata };
        tracked::build(&inputs, options)
    });
    let mut tracked = work.await??;
    capture::tell(&mut tracked, uncaptured);
    tracked.inconsistencies.extend(missing);
    Ok(Arc::new(tracked))
}

/// One database, for another thread.
struct OwnedInput {
    name: Arc<str>,
    catalog: Arc<Catalog>,
    connection: Connection,
    auto_track: bool,
    enums: Enums,
}

impl OwnedInput {
    fn with<'a>(&'a self, metadata: Option<&'a Metadata>) -> SourceInput<'a> {
        SourceInput {
            name: self.name.clone(),
            catalog: self.catalog.clone(),
            connection: self.connection.clone(),
            metadata: metadata.and_then(|metadata| metadata.source(&self.name)),
            auto_track: self.auto_track,
            enums: &self.enums,
        }
    }
}
