//! Floor 5: the façade that everybody above calls.
//!
//! ```text
//! GraphqlRequest ─▶ prepare: plan cache │ parse ─▶ bind ─▶ plan
//!                       ├▶ answer, write: parameters ─▶ one transaction ─▶ bytes
//!                       │    └ cached: the bytes of who asked the same before
//!                       │    └ generic: whether Postgres need plan it each time
//!                       ├▶ action, output: handlers of actions, rows that belong to their answers
//!                       └▶ subscribe: the same whenever live says so, changes only
//! ```

mod action;
mod answer;
mod cached;
mod describe;
pub mod executor;
mod explain;
mod generic;
mod output;
mod parameters;
mod prepare;
mod subscribe;
mod unshareable;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore};

use crate::action::{HandlerOptions, Handlers};
use crate::base::{ApiError, Code};
use crate::operation::Limits;
use crate::pg::Pg;
use crate::plan::cache::{PlanCache, PlanCacheStats};
use crate::response_cache::{ResponseCache, ResponseCacheStats};
use crate::schema::tracked::{SourceId, Tracked};
use crate::schema::{RoleSchema, SchemaOptions, SchemaSet};
use crate::session::Session;

pub use crate::live::{Marks, Renewal, Subscription, Update};
pub use cached::Kept;
use describe::Descriptions;
pub use explain::{ExplainedOperation, ExplainedRoot, ExplainedStatement, Explanation};

/// One GraphQL request, whatever carried it.
#[derive(Debug, Clone, Default)]
pub struct GraphqlRequest {
    pub query: String,
    pub operation_name: Option<String>,
    /// The variables object as it was sent, so that numbers keep their digits.
    pub variables: Option<Box<RawValue>>,
    /// Refuse anything but a query (a GET).
    pub queries_only: bool,
    /// Tell the id of a mutation's transaction.
    pub wants_transaction: bool,
    /// Tell what each state of a subscription showed, and its hash.
    pub marks: Option<Marks>,
    /// The client's headers, for handlers of actions that get them.
    pub headers: Option<Arc<HeaderMap>>,
}

/// `data` is JSON text made by Postgres, or of its rows, and is never decoded.
#[derive(Debug, Default)]
pub struct GraphqlResponse {
    pub data: Option<Bytes>,
    pub errors: Vec<ApiError>,
    /// For the log: the operation's name, when the document gave one.
    pub operation: Option<Arc<str>>,
    /// The id of a mutation's transaction (`pg_current_xact_id`), when it was
    /// asked for and something was written.
    pub transaction: Option<String>,
    /// Cookies that handlers of actions set.
    pub cookies: Vec<HeaderValue>,
    /// The answer is kept, for those who ask the same.
    pub kept: Option<Kept>,
}

impl GraphqlResponse {
    /// `extensions` as JSON, where there is something to say.
    pub fn extensions(&self) -> Option<String> {
        // Digits, as Postgres prints them.
        let id = self.transaction.as_ref()?;
        Some(format!("{{\"transaction\":{{\"id\":\"{id}\"}}}}"))
    }

    pub fn error(error: ApiError) -> Self {
        GraphqlResponse { errors: vec![error], ..GraphqlResponse::default() }
    }
}

/// Bounds that the engine keeps.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    pub depth: usize,
    pub nodes: usize,
    /// Rows of any one list.
    pub rows: Option<u64>,
    /// Rows of one insert.
    pub insert_rows: usize,
    pub plan_cache_bytes: u64,
}

impl EngineLimits {
    fn operation(&self) -> Limits {
        Limits { depth: self.depth, nodes: self.nodes, rows: self.insert_rows }
    }
}

/// Answers GraphQL requests as their sessions.
pub struct Engine {
    pg: Pg,
    /// Databases beside the own one, by the number in
    /// [`Connection`](crate::schema::tracked::Connection).
    others: RwLock<HashMap<u64, Pg>>,
    schemas: ArcSwap<SchemaSet>,
    plans: PlanCache,
    descriptions: Descriptions,
    answers: ResponseCache,
    limits: EngineLimits,
    subscriptions: subscribe::Subscriptions,
    handlers: Handlers,
    /// Places of comparisons of plans.
    comparing: Arc<Semaphore>,
    /// Told when Postgres refuses on rights, so that memberships are re-read.
    suspicion: Arc<Notify>,
}

impl Engine {
    pub fn new(
        pg: Pg,
        tracked: Arc<Tracked>,
        options: SchemaOptions,
        limits: EngineLimits,
    ) -> Self {
        Engine {
            subscriptions: subscribe::Subscriptions::new(&pg),
            pg,
            others: RwLock::default(),
            schemas: ArcSwap::from_pointee(SchemaSet::new(tracked, options)),
            plans: PlanCache::new(limits.plan_cache_bytes),
            descriptions: Descriptions::new(),
            answers: ResponseCache::off(),
            limits,
            handlers: Handlers::default(),
            comparing: Arc::new(Semaphore::new(generic::AT_ONCE)),
            suspicion: Arc::new(Notify::new()),
        }
    }

    /// Calls handlers of actions in this way.
    #[must_use]
    pub fn call_handlers(mut self, options: HandlerOptions) -> Self {
        self.handlers = Handlers::new(options);
        self
    }

    /// Whether handlers of actions want headers of clients.
    pub fn wants_headers(&self) -> bool {
        self.schemas.load().tracked().actions.forward_headers()
    }

    /// Keeps answers to queries with `@cached`.
    #[must_use]
    pub fn keep_answers(mut self, answers: ResponseCache) -> Self {
        self.answers = answers;
        self
    }

    /// Serves a new catalogue or metadata from the next request on; running
    /// requests keep theirs. `version` is that of stored metadata.
    pub fn install(&self, tracked: Arc<Tracked>, version: Option<i64>) {
        let options = self.schemas.load().options().clone();
        self.schemas.store(Arc::new(SchemaSet::new(tracked, options).of_version(version)));
        self.answers.clear();
        self.subscriptions.schema_changed();
    }

    /// Makes further databases known, before what needs them is installed.
    pub fn attach(&self, database: u64, pg: Pg) {
        self.others.write().unwrap_or_else(PoisonError::into_inner).insert(database, pg);
    }

    /// Forgets the databases that `used` does not have.
    pub fn detach_others(&self, used: &BTreeSet<u64>) {
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        others.retain(|database, _| used.contains(database));
    }

    /// The database of a source, as the schema knows it.
    fn database(&self, schema: &RoleSchema, source: SourceId) -> Result<Pg, ApiError> {
        let gone = || {
            ApiError::new(Code::ServiceUnavailable, "the database of a source is gone; try again")
        };
        let number = schema.tracked().source(source).map(|source| source.connection.database);
        match number.ok_or_else(gone)? {
            0 => Ok(self.pg.clone()),
            number => {
                let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
                others.get(&number).cloned().ok_or_else(gone)
            }
        }
    }

    /// The databases of the sources that are served.
    pub fn databases(&self) -> Vec<(Arc<str>, Pg)> {
        let schemas = self.schemas.load();
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let served = schemas.tracked().sources.iter().filter_map(|source| {
            let pg = match source.connection.database {
                0 => &self.pg,
                number => others.get(&number)?,
            };
            Some((source.name.clone(), pg.clone()))
        });
        served.collect()
    }

    pub fn schemas(&self) -> Arc<SchemaSet> {
        self.schemas.load_full()
    }

    pub fn pg(&self) -> &Pg {
        &self.pg
    }

    pub fn plan_cache_stats(&self) -> PlanCacheStats {
        self.plans.stats()
    }

    pub fn response_cache_stats(&self) -> ResponseCacheStats {
        self.answers.stats()
    }

    /// Notified after each refusal on rights.
    pub fn suspicion(&self) -> Arc<Notify> {
        self.suspicion.clone()
    }

    /// Answers one request.
    pub async fn execute(&self, session: &Session, request: GraphqlRequest) -> GraphqlResponse {
        match self.try_execute(session, &request).await {
            Ok(answer) => answer,
            Err(error) => GraphqlResponse::error(error),
        }
    }

    /// The schema definition language of a session's role.
    pub fn sdl(&self, session: &Session) -> Result<String, ApiError> {
        Ok(self.schemas.load().of(session)?.sdl())
    }
}

fn only_queries() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "only queries can be sent by GET; use POST")
}
