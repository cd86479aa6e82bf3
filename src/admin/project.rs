//! What the server serves: the catalogue, the metadata, and what comes of the
//! two.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::base::ApiError;
use crate::catalog::model::Oid;
use crate::catalog::{Catalog, Watch};
use crate::config::{AutoTrack, SchemaConfig};
use crate::engine::{Engine, EngineLimits};
use crate::metadata::Metadata;
use crate::metadata::source::DEFAULT_SOURCE;
use crate::pg::{Pg, PgError, SystemTx};
use crate::schema::SchemaOptions;
use crate::schema::tracked::{self, BuildOptions, Inconsistency, SourceInput, Tracked};
use crate::sql::InvalidIdent;

use super::capture::{self, Uncaptured};
use super::draft::Draft;
use super::enums::{self, Enums};
use super::grants;
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
}

impl From<ProjectError> for ApiError {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Database(error) => error.into(),
            ProjectError::Store(error) => error.into(),
            ProjectError::Name(_) => ApiError::internal(error.to_string()),
        }
    }
}

/// How a project is put together.
#[derive(Debug, Clone)]
pub struct ProjectOptions {
    pub schema: SchemaConfig,
    pub roles: SchemaOptions,
    pub limits: EngineLimits,
    /// Between two readings of a subscription.
    pub poll_interval: Duration,
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
        let stored = pg.has_owner() && options.metadata.is_none();
        let catalog = watch.current();
        let mut metadata = options.metadata.map(Arc::new);
        let mut version = None;
        let mut enums = Enums::new();
        let tx = pg.begin_system("read the metadata").await?;
        if stored && let Some(found) = store::load(&tx).await? {
            version = Some(found.version);
            metadata = Some(Arc::new(found.metadata));
        }
        let uncaptured = match &metadata {
            Some(metadata) if pg.has_owner() => {
                capture_events(&tx, &watch, metadata, &catalog).await
            }
            _ => Uncaptured::new(),
        };
        let schema = &options.schema;
        let tracked =
            build(&tx, schema, &catalog, metadata.as_deref(), &mut enums, &uncaptured).await?;
        if pg.has_owner() && metadata.is_some() {
            complete_grants(&tx, &tracked).await;
        }
        tx.commit().await?;
        report(&tracked.inconsistencies);
        let engine = Engine::new(pg.clone(), tracked.clone(), options.roles, options.limits)
            .poll_every(options.poll_interval);
        let engine = Arc::new(engine);
        let state = State { metadata, version, catalog, enums, uncaptured, tracked };
        Ok(Project(Arc::new(Inner {
            pg,
            watch,
            engine,
            schema: options.schema,
            state: Mutex::new(state),
            stored,
        })))
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
        metadata.map(|metadata| named_tables(metadata, &state.catalog)).unwrap_or_default()
    }

    /// Parts of the metadata that are left out.
    pub async fn inconsistencies(&self) -> Vec<Inconsistency> {
        self.0.state.lock().await.tracked.inconsistencies.clone()
    }

    /// The catalogue that the watch has is another one.
    pub async fn catalog_changed(&self) -> Result<(), ProjectError> {
        let mut state = self.0.state.lock().await;
        let catalog = self.0.watch.current();
        if catalog.generation == state.catalog.generation {
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
        let Some(found) = found else { return Ok(()) };
        tracing::info!(version = found.version, "the metadata was changed by another server");
        let catalog = self.0.watch.current();
        state.enums.clear();
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
        if let Some(metadata) = metadata.as_deref().filter(|_| self.0.pg.has_owner()) {
            state.uncaptured = capture_events(&tx, &self.0.watch, metadata, &catalog).await;
        }
        let State { enums, uncaptured, .. } = &mut *state;
        let tracked =
            build(&tx, &self.0.schema, &catalog, metadata.as_deref(), enums, uncaptured).await?;
        if self.0.pg.has_owner() && metadata.is_some() {
            complete_grants(&tx, &tracked).await;
        }
        tx.commit().await?;
        if tracked.inconsistencies != state.tracked.inconsistencies {
            report(&tracked.inconsistencies);
        }
        state.catalog = catalog;
        state.metadata = metadata;
        state.version = version.or(state.version);
        self.install(state, tracked);
        Ok(())
    }

    pub(super) fn install(&self, state: &mut State, tracked: Arc<Tracked>) {
        state.tracked = tracked.clone();
        self.0.engine.install(tracked);
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
    Ok(stored.map(|stored| named_tables(&stored.metadata, catalog)).unwrap_or_default())
}

fn named_tables(metadata: &Metadata, catalog: &Catalog) -> BTreeSet<Oid> {
    let tables = metadata.source(DEFAULT_SOURCE).map_or(&[][..], |source| &source.tables);
    tables
        .iter()
        .filter_map(|written| catalog.table_named(&written.table.schema, &written.table.name))
        .map(|table| table.oid)
        .collect()
}

async fn complete_grants(tx: &SystemTx, tracked: &Tracked) {
    if let Err(error) = grants::complete(tx, tracked).await {
        tracing::warn!(%error, "rights on tracked objects could not be completed");
    }
}

/// Makes the triggers that metadata names and the database lacks, which is so
/// when another server, or Hasura, wrote the metadata.
async fn capture_events(
    tx: &SystemTx,
    watch: &Watch,
    metadata: &Metadata,
    catalog: &Catalog,
) -> Uncaptured {
    let Some(source) = metadata.source(DEFAULT_SOURCE) else { return Uncaptured::new() };
    if !capture::concerns(Some(metadata)) {
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
            Uncaptured::new()
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

/// What is shown of a catalogue with metadata, or without.
pub(super) async fn build(
    tx: &SystemTx,
    schema: &SchemaConfig,
    catalog: &Arc<Catalog>,
    metadata: Option<&Metadata>,
    enums: &mut Enums,
    uncaptured: &Uncaptured,
) -> Result<Arc<Tracked>, ProjectError> {
    let source = metadata.and_then(|metadata| metadata.source(DEFAULT_SOURCE));
    if let Some(source) = source {
        enums::read(tx, catalog, source, enums).await?;
    }
    let auto_track = match schema.auto_track {
        AutoTrack::On => true,
        AutoTrack::Off => false,
        // Empty metadata is metadata.
        AutoTrack::Auto => metadata.is_none(),
    };
    let input = SourceInput {
        name: DEFAULT_SOURCE.into(),
        catalog: catalog.clone(),
        metadata: source,
        auto_track,
        enums,
    };
    let options = BuildOptions { expose: &schema.expose, metadata };
    let mut tracked = tracked::build(&[input], options)?;
    capture::tell(&mut tracked, uncaptured);
    Ok(Arc::new(tracked))
}
