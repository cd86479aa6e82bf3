//! Subscriptions: a query whose answer is pushed whenever it changes.
//!
//! ```text
//! subscribe ─▶ one task: compose ─▶ own reading ─ same bytes? ─▶ join a group (live)
//!                  ▲                                                  │
//!                  └──── another session, schema or group ◀───────────┘
//! ```
//!
//! A statement's bytes depend on its text, its parameters, the role and the
//! settings that it reads. Where the catalogue can name all of these settings,
//! the others are withheld, and whoever has the same values shares one reading.
//! A policy could see that something is missing; so everybody's first answer is
//! read with all that the session has, and only who gets the same bytes from
//! the shared reading joins it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::base::{ApiError, Code, JsonPath};
use crate::catalog::Dependence;
use crate::catalog::reads::is_moment;
use crate::graphql::OperationKind;
use crate::live::group::{self, Joining, Membership, Parts, Reader, Reading, same_bytes};
use crate::live::stream::{Batch, BatchReader, Progress};
use crate::live::{
    Concern, Interest, KeyField, KeyKind, KeysAt, Live, Owner, Places, Published, Publisher, Route,
    RowsAt, Sent, Snapshot, Subscription, Turn, Update, channel,
};
use crate::operation::input::{Operand, push_array_element};
use crate::pg::{Pg, Reply, Statement, TextParam, TxContext};
use crate::plan::{Answer, Depends, GenericPlan, Key, KeyValues, Plan, Remaining, Slot};
use crate::schema::RoleSchema;
use crate::schema::tracked::SourceId;
use crate::session::{Authority, Session, sha256};

use super::answer::role_in;
use super::generic::{Comparison, planning};
use super::parameters::Leaves;
use super::unshareable::{StatementId, Unshareable};
use super::{Engine, GraphqlRequest};

/// What the engine keeps for its subscriptions.
#[derive(Debug)]
pub(super) struct Subscriptions {
    pub(super) live: Live,
    /// Readings that run at once take half of a pool at most; the rest is for
    /// requests.
    request: Arc<Places>,
    admin: Arc<Places>,
    open: AtomicU64,
    /// Grows with each schema that is installed.
    installed: watch::Sender<u64>,
    /// Statements of this schema that a missing setting was seen to change.
    unshareable: Mutex<Unshareable>,
}

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Columns that the caller asks for by which rows are told apart.
const ASKED: usize = 2;
/// Values of one column by which rows are told apart.
const VALUES: usize = 500;

impl Subscriptions {
    pub(super) fn new(pg: &Pg) -> Self {
        Subscriptions {
            live: Live::new(POLL_INTERVAL),
            request: Places::new(pg.options().pool_size / 2),
            admin: Places::new(pg.options().admin_pool_size / 2),
            open: AtomicU64::new(0),
            installed: watch::Sender::new(0),
            unshareable: Mutex::default(),
        }
    }

    /// Every subscription looks at the new schema.
    pub(super) fn schema_changed(&self) {
        self.unshareable.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.installed.send_modify(|generation| *generation += 1);
        self.live.reconsider();
    }

    fn places(&self, authority: Authority) -> &Arc<Places> {
        match authority {
            Authority::Request => &self.request,
            Authority::Admin => &self.admin,
        }
    }

    fn is_shareable(&self, id: StatementId) -> bool {
        !self.unshareable.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn refused(&self) -> u64 {
        let refused = self.unshareable.lock().unwrap_or_else(PoisonError::into_inner).len();
        u64::try_from(refused).unwrap_or(u64::MAX)
    }

    fn refuse_sharing(&self, id: StatementId, role: &str, operation: &str) {
        if self.unshareable.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            tracing::warn!(
                role,
                operation,
                "a policy answers otherwise when a setting that it does not name is empty; \
                 the subscriptions of this operation are read one by one"
            );
        }
    }
}

/// Counts a subscription as open while it lives.
struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Open(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a subscription cannot be read.
enum Unread {
    /// The request itself is refused; so it would be the next time.
    Request(ApiError),
    Run(ApiError),
}

/// What a subscription comes to for one session and one schema.
struct Composed {
    key: group::Key,
    own: Arc<dyn Reader>,
    shared: Option<Shared>,
    interest: Interest,
    shown: Vec<RowsAt>,
    stream: Option<Stream>,
    operation: Arc<str>,
    role: Arc<str>,
}

/// A subscription to rows after a cursor.
struct Stream {
    reader: Statically,
    /// Parameters that are the cursor.
    places: Vec<usize>,
    from: Option<String>,
    remaining: Option<Remains>,
}

/// Which rows that a stream has sent are still there.
struct Remains {
    reader: Statically,
    /// Parameters that are a column of the keys, with its place in them.
    columns: Vec<(usize, usize)>,
    at: KeysAt,
}

/// A reading with less than the session has.
struct Shared {
    key: group::Key,
    reader: Arc<dyn Reader>,
    id: StatementId,
}

impl Engine {
    /// What wakes subscriptions.
    pub fn live(&self) -> &Live {
        &self.subscriptions.live
    }

    /// Sets how long to wait between two readings of a subscription of which
    /// the log does not tell.
    pub fn poll_every(self, interval: Duration) -> Self {
        self.subscriptions.live.poll_every(interval);
        self
    }

    /// Subscriptions that are open.
    pub fn open_subscriptions(&self) -> u64 {
        self.subscriptions.open.load(Ordering::Relaxed)
    }

    /// Operations of the schema as it is that share no reading, since a policy
    /// was seen to answer otherwise without a setting.
    pub fn unshareable_operations(&self) -> u64 {
        self.subscriptions.refused()
    }

    /// Whether a request is to be given to [`Engine::subscribe`].
    pub fn is_subscription(
        &self,
        session: &Session,
        request: &GraphqlRequest,
    ) -> Result<bool, ApiError> {
        // The keyword cannot be written otherwise, and most documents lack it.
        if !request.query.contains("subscription") {
            return Ok(false);
        }
        let schema = self.schemas.load().of(session)?;
        Ok(self.prepare(session, &schema, request)?.plan.kind == OperationKind::Subscription)
    }

    /// Begins a subscription. What can be known without the database is
    /// refused here; everything later comes as an [`Update`], the first state
    /// too. Must be called inside a Tokio runtime.
    pub fn subscribe(
        self: &Arc<Self>,
        session: Arc<Session>,
        request: GraphqlRequest,
    ) -> Result<Subscription, ApiError> {
        let schema = self.schemas.load().of(&session)?;
        let plan = self.prepare(&session, &schema, &request)?.plan;
        if plan.kind != OperationKind::Subscription {
            return Err(ApiError::internal("a subscription was expected"));
        }
        remaining(&plan, &request)?;
        let (publisher, subscription) =
            channel(session, plan.operation_name.clone(), request.marks.clone());
        let engine = self.clone();
        tokio::spawn(async move {
            let closed = publisher.closed().clone();
            tokio::select! {
                () = closed.cancelled() => {}
                () = engine.keep(&request, &publisher) => {}
            }
        });
        Ok(subscription)
    }

    async fn keep(self: &Arc<Self>, request: &GraphqlRequest, publisher: &Publisher) {
        let _open = Open::new(&self.subscriptions.open);
        let mut installed = self.subscriptions.installed.subscribe();
        // Of a stream, once it has begun.
        let mut progress: Option<Progress> = None;
        loop {
            installed.borrow_and_update();
            if !publisher.is_valid() {
                // The transport ends what is not renewed.
                publisher.renewed().await;
                continue;
            }
            let stays = match self.compose(&publisher.session(), request) {
                Ok(composed) => Some(composed),
                Err(Unread::Request(error)) => {
                    publisher.end(error);
                    return;
                }
                Err(Unread::Run(error)) => {
                    let state = Published::error(&error);
                    publisher.offer(&state, &Update::Failed(error), None);
                    None
                }
            };
            let staying = async {
                match stays {
                    // Boxed: most subscriptions wait, and a reading is large.
                    Some(Composed { stream: Some(stream), interest, .. }) => {
                        let progress = progress.get_or_insert_with(|| stream.begin());
                        stream.look_for(&mut progress.sent);
                        let live = &self.subscriptions.live;
                        Box::pin(live.stream(interest, &stream, publisher, progress)).await;
                    }
                    Some(composed) => {
                        let membership = Box::pin(self.enter(composed, publisher)).await;
                        membership.dissolved().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = staying => {}
                () = publisher.renewed() => {}
                changed = installed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Joins the group that a subscription belongs to.
    async fn enter(self: &Arc<Self>, composed: Composed, publisher: &Publisher) -> Membership {
        let groups = self.subscriptions.live.groups();
        let Composed { key, own, shared, interest, shown, operation, role, .. } = composed;
        let parts = Parts { reader: own.clone(), interest, shown, mismatch: Arc::new(|| {}) };
        let alone = |parts: Parts| {
            let joining = Joining { publisher: publisher.clone(), own: None };
            groups.join(key, joining, || parts)
        };
        let Some(shared) = shared.filter(|shared| self.subscriptions.is_shareable(shared.id))
        else {
            return alone(parts);
        };
        // An error is the group's to tell.
        let Ok(first) = own.read().await else { return alone(parts) };
        let state = Published::data(&first.data);
        let update = Update::Data(first.data.clone(), None);
        if publisher.is_valid() {
            publisher.offer(&state, &update, first.snapshot.as_ref());
        }
        let same = match groups.last_of(&shared.key) {
            Some(last) if last == state => Ok(Some(true)),
            _ => same_bytes(first, &*own, &*shared.reader).await,
        };
        match same {
            Ok(Some(true)) => {}
            Ok(Some(false)) => {
                self.subscriptions.refuse_sharing(shared.id, &role, &operation);
                return alone(parts);
            }
            Ok(None) => return alone(parts),
            Err(error) => {
                tracing::debug!(%error, detail = error.detail, "a shared reading was not compared");
                return alone(parts);
            }
        }
        let engine = Arc::downgrade(self);
        let mismatch = Arc::new(move || {
            if let Some(engine) = engine.upgrade() {
                engine.subscriptions.refuse_sharing(shared.id, &role, &operation);
            }
        });
        let joining = Joining { publisher: publisher.clone(), own: Some(own) };
        groups.join(shared.key, joining, || Parts { reader: shared.reader, mismatch, ..parts })
    }

    fn compose(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &GraphqlRequest,
    ) -> Result<Composed, Unread> {
        let refused = |error: ApiError| match error.code {
            Code::Unexpected => Unread::Run(error),
            _ => Unread::Request(error),
        };
        let schema = self.schemas.load().of(session).map_err(|error| refused(error.into()))?;
        let prepared = self.prepare(session, &schema, request).map_err(refused)?;
        let plan = prepared.plan.clone();
        let remaining = remaining(&plan, request).map_err(refused)?;
        let operation = plan.operation_name.clone().unwrap_or_else(|| "".into());
        let role_name = session.role.clone();
        let (source, text, fingerprint, depends) = match (&plan.answer, &plan.depends) {
            (Answer::Statement { source, text, fingerprint, rows: None }, Some(depends))
                if plan.described.is_empty() =>
            {
                (*source, text, *fingerprint, depends)
            }
            _ => {
                let key = sha256(&rand::random::<[u8; 32]>());
                let own = Plain {
                    engine: self.clone(),
                    session: session.clone(),
                    request: request.clone(),
                    turn: Turn { owner: owner(session), alike: key },
                };
                return Ok(Composed {
                    key,
                    own: Arc::new(own),
                    shared: None,
                    interest: Interest { opaque: true, ..Interest::default() },
                    shown: Vec::new(),
                    stream: None,
                    operation,
                    role: role_name,
                });
            }
        };
        let role = role_in(&schema, source).map_err(Unread::Run)?;
        self.admit(session, role, &plan, &prepared.leaves).map_err(|error| match error.code {
            // Another session may have the variable that is missing.
            Code::PermissionError => Unread::Run(error),
            _ => Unread::Request(error),
        })?;
        let variables = request.variables.as_deref();
        let values: Vec<String> =
            role.settings.values(session).into_iter().map(|value| value.into_owned()).collect();
        let setting = |name: &str| {
            let value = role.settings.names().zip(&values).find(|(known, _)| *known == name);
            // An empty one is null or an error.
            value.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        let operand = |operand: &Operand| match operand {
            Operand::Const(text) => Some(text.to_string()),
            Operand::Leaf(leaf) => prepared.leaves.get(*leaf).cloned(),
            Operand::Session(name) => session.variable(name).map(str::to_owned),
            _ => None,
        };
        let value_of = |wanted: &KeyValues| match wanted {
            KeyValues::Asked(operands) => operands.iter().map(operand).collect(),
            KeyValues::Setting(name) => setting(name).map(|value| vec![value]),
        };
        let mut shown = shown(depends);
        let mut interest = interest(depends, &shown, value_of);
        let is_told = |concern: &Concern| !concern.key.is_empty();
        shown.retain(|rows| interest.tables.get(&rows.table).is_some_and(is_told));
        let from = plan.stream.as_ref().and_then(|stream| stream.from.as_ref()).and_then(operand);
        let more = remaining.map_or(&[][..], |remaining| &remaining.slots);
        let mut leaves = Leaves::new(prepared.leaves, plan.slots.iter().chain(more), variables);
        let mut fill = |slots: &[Slot]| -> Result<Arc<[TextParam]>, Unread> {
            Ok(leaves.fill(session, slots, &[]).map_err(Unread::Run)?.into())
        };
        let params = fill(&plan.slots)?;
        let of_remaining = fill(more)?;
        let statement = Statement { text: text.clone(), fingerprint, named: true };
        interest.opaque |= params.iter().filter_map(TextParam::as_str).any(is_moment);
        let names = role.settings.names();
        let kept = withheld(&depends.on, names, &values);
        let asks_session =
            plan.slots.iter().any(|slot| matches!(slot.operand, Operand::Session(_)));
        let owner_of = |values: &[String]| {
            let is_own =
                |(name, value): (&str, &String)| name != "hasura.user.role" && !value.is_empty();
            if asks_session || role.settings.names().zip(values).any(is_own) {
                owner(session)
            } else {
                Owner::named(&*session.role)
            }
        };
        let read_by = |statement: &Statement,
                       params: &Arc<[TextParam]>,
                       generic: &Arc<GenericPlan>,
                       values: Vec<String>| {
            let mut reader = Statically {
                engine: self.clone(),
                schema: schema.clone(),
                source,
                statement: statement.clone(),
                params: params.clone(),
                generic: generic.clone(),
                authority: session.authority,
                turn: Turn { owner: owner_of(&values), alike: group::Key::default() },
                values,
            };
            reader.turn.alike = reader.key();
            reader
        };
        let read = |values: Vec<String>| read_by(&statement, &params, &plan.generic, values);
        let shared = kept.map(|values| {
            let reader = read(values);
            let key = reader.turn.alike;
            Shared { key, reader: Arc::new(reader), id: (schema.id, fingerprint) }
        });
        let stream = plan.stream.is_some().then(|| Stream {
            reader: read(values.clone()),
            places: (0..)
                .zip(&plan.slots)
                .filter(|(_, slot)| slot.operand == Operand::Cursor)
                .map(|(index, _)| index)
                .collect(),
            from,
            remaining: remaining.map(|remaining| {
                let Remaining { text, fingerprint, generic, .. } = remaining;
                let statement =
                    Statement { text: text.clone(), fingerprint: *fingerprint, named: true };
                Remains {
                    reader: read_by(&statement, &of_remaining, generic, values.clone()),
                    columns: columns(&remaining.slots),
                    at: KeysAt { path: remaining.path.clone(), fields: remaining.fields.clone() },
                }
            }),
        });
        let own = read(values);
        Ok(Composed {
            key: own.turn.alike,
            own: Arc::new(own),
            shared,
            interest,
            shown,
            stream,
            operation,
            role: role_name,
        })
    }
}

/// What tells which rows of a stream have left, where that is asked for.
fn remaining<'p>(
    plan: &'p Plan,
    request: &GraphqlRequest,
) -> Result<Option<&'p Remaining>, ApiError> {
    if !request.marks.as_ref().is_some_and(|marks| marks.left) {
        return Ok(None);
    }
    let refused = |message: &'static str| {
        let path = JsonPath::root().key("extensions").key("live").key("left");
        ApiError::new(Code::ValidationFailed, message).at(path)
    };
    let stream = plan.stream.as_ref().ok_or_else(|| {
        refused(
            "only a stream tells which rows have left; subscribe to a field <table>_stream, or leave 'left' out: \
             other subscriptions are sent the whole answer",
        )
    })?;
    stream.remaining.as_ref().map(Some).ok_or_else(|| {
        refused(
            "rows that have left are told by their primary key; select all of its columns in the stream, \
             which must be the only one and be of a table that has such a key, not of JSON, arrays or composite types",
        )
    })
}

/// Parameters that are a column of the keys that a stream has sent.
fn columns(slots: &[Slot]) -> Vec<(usize, usize)> {
    let columns = (0..).zip(slots).filter_map(|(index, slot)| match slot.operand {
        Operand::SentKeys(column) => Some((index, column)),
        _ => None,
    });
    columns.collect()
}

/// Whom the turns of a session's readings are counted for.
fn owner(session: &Session) -> Owner {
    match (&session.tenant, &session.user) {
        (Some(tenant), _) => Owner::named(("tenant", &**tenant)),
        (None, Some(user)) => Owner::named(("user", &**user)),
        (None, None) => Owner::named(&*session.role),
    }
}

/// The values of the settings without those that nothing reads on the way to
/// the answer; `None` where that is not known, or nothing has to be left out.
fn withheld<'a>(
    depends: &Dependence,
    names: impl Iterator<Item = &'a str>,
    values: &[String],
) -> Option<Vec<String>> {
    let settings = &depends.settings;
    if !settings.closed || settings.computed {
        return None;
    }
    let kept: Vec<String> = names
        .zip(values)
        .map(
            |(name, value)| {
                if settings.names.contains(name) { value.clone() } else { String::new() }
            },
        )
        .collect();
    (kept != values).then_some(kept)
}

/// Where an answer has rows whose keys are understood.
fn shown(depends: &Depends) -> Vec<RowsAt> {
    let rows = depends.shown.iter().filter_map(|rows| {
        let key = rows.key.iter().map(|part| {
            let kind = KeyKind::of_type(part.type_oid)?;
            Some(KeyField { column: (part.column.clone(), kind), field: part.field.clone() })
        });
        Some(RowsAt {
            table: rows.table,
            path: rows.path.clone(),
            key: key.collect::<Option<_>>()?,
        })
    });
    rows.collect()
}

/// The tables of a statement, each with the rows that can matter.
fn interest(
    depends: &Depends,
    shown: &[RowsAt],
    value_of: impl Fn(&KeyValues) -> Option<Vec<String>>,
) -> Interest {
    let route = |key: &Key| {
        let kind = KeyKind::of_type(key.type_oid)?;
        let texts = value_of(&key.values)?;
        if texts.len() > VALUES {
            return None;
        }
        let values = texts.iter().map(|text| kind.value(text)).collect::<Option<Vec<_>>>()?;
        Some(Route { column: key.column.clone(), kind, values })
    };
    let tables = depends.on.relations.keys().map(|table| {
        let keys = depends.keys.get(table).into_iter().flatten();
        let (asked, wanted): (Vec<&Key>, Vec<&Key>) =
            keys.partition(|key| matches!(key.values, KeyValues::Asked(_)));
        let mut routes: Vec<Route> = Vec::new();
        for route in asked.into_iter().filter_map(route) {
            let is_known = routes.iter().any(|known| known.column == route.column);
            if routes.len() < ASKED && !is_known {
                routes.push(route);
            }
        }
        // What policies want is always among them.
        routes.extend(wanted.into_iter().filter_map(route));
        // Where every row matters, nobody asks which are shown.
        let rows = shown.iter().find(|rows| rows.table == *table && !routes.is_empty());
        let key = rows.into_iter().flat_map(|rows| &rows.key).map(|part| part.column.clone());
        (*table, Concern { routes, key: key.collect() })
    });
    Interest { tables: tables.collect(), opaque: depends.on.opaque }
}

/// One statement with its values.
struct Statically {
    engine: Arc<Engine>,
    schema: Arc<RoleSchema>,
    source: SourceId,
    statement: Statement,
    params: Arc<[TextParam]>,
    generic: Arc<GenericPlan>,
    authority: Authority,
    /// Of the settings, in the order of the role's plan.
    values: Vec<String>,
    turn: Turn,
}

impl Statically {
    /// Stands for everything that the bytes depend on.
    fn key(&self) -> group::Key {
        let mut out = Vec::with_capacity(512);
        let mut add = |part: &[u8]| {
            out.extend_from_slice(&part.len().to_be_bytes());
            out.extend_from_slice(part);
        };
        add(&self.schema.id.to_be_bytes());
        add(&[u8::from(self.authority == Authority::Admin)]);
        add(self.statement.text.as_bytes());
        for param in &*self.params {
            match param.as_str() {
                Some(text) => add(text.as_bytes()),
                // No text is that long.
                None => add(&[0xff; 1]),
            }
        }
        for value in &self.values {
            add(value.as_bytes());
        }
        sha256(&out)
    }

    async fn run(&self) -> Result<Reading, ApiError> {
        let reply = self.reply(&self.params).await?;
        let snapshot = reply.second.as_deref().and_then(Snapshot::parse);
        Ok(Reading { data: reply.json, snapshot })
    }

    async fn reply(&self, params: &[TextParam]) -> Result<Reply, ApiError> {
        let role = role_in(&self.schema, self.source)?;
        let context = TxContext::withheld(
            self.authority,
            &self.values,
            &role.binding.db_role,
            &role.settings,
        );
        let context = context.planned(planning(&self.generic));
        let pg = &self.engine.pg;
        let places = self.engine.subscriptions.places(self.authority);
        let query = || pg.query_reply(&context, &self.statement, params);
        let reply = places.read(self.turn, query).await;
        let reply = reply.map_err(|error| self.engine.refused(error))?;
        if self.generic.run().compared && !params.is_empty() {
            self.engine.compare(|| Comparison {
                pg: pg.clone(),
                authority: self.authority,
                values: self.values.clone(),
                db_role: role.binding.db_role.clone(),
                settings: role.settings.clone(),
                statement: self.statement.text.clone(),
                params: params.into(),
                generic: self.generic.clone(),
            });
        }
        Ok(reply)
    }
}

impl Stream {
    fn begin(&self) -> Progress {
        Progress { place: self.from.clone(), sent: None }
    }

    /// Goes on with what was sent, as long as its keys are the same.
    fn look_for(&self, sent: &mut Option<Sent>) {
        let at = self.remaining.as_ref().map(|remaining| &remaining.at);
        if sent.as_ref().map(Sent::at) != at {
            *sent = at.cloned().map(Sent::new);
        }
    }
}

impl Remains {
    async fn read(&self, sent: &Sent) -> Result<Bytes, ApiError> {
        let mut params = self.reader.params.to_vec();
        for (index, column) in &self.columns {
            let mut array = String::from("{");
            for text in sent.texts(*column)? {
                push_array_element(&mut array, &text);
            }
            array.push('}');
            if let Some(param) = params.get_mut(*index) {
                *param = TextParam::from(array);
            }
        }
        Ok(self.reader.reply(&params).await?.json)
    }
}

impl BatchReader for Stream {
    fn read<'a>(&'a self, after: Option<&'a str>) -> BoxFuture<'a, Result<Batch, ApiError>> {
        async move {
            let mut params = self.reader.params.to_vec();
            for place in &self.places {
                if let (Some(param), Some(after)) = (params.get_mut(*place), after) {
                    *param = TextParam::from(after.to_owned());
                }
            }
            let reply = self.reader.reply(&params).await?;
            let snapshot = reply.second.as_deref().and_then(Snapshot::parse);
            Ok(Batch { data: reply.json, snapshot, next: reply.third })
        }
        .boxed()
    }

    fn still_there<'a>(&'a self, sent: &'a Sent) -> BoxFuture<'a, Result<Bytes, ApiError>> {
        async move {
            let remaining = self.remaining.as_ref();
            let remaining =
                remaining.ok_or_else(|| ApiError::internal("no rows are looked for"))?;
            remaining.read(sent).await
        }
        .boxed()
    }
}

impl Reader for Statically {
    fn read(&self) -> BoxFuture<'_, Result<Reading, ApiError>> {
        self.run().boxed()
    }

    fn is_slow(&self) -> bool {
        self.engine.subscriptions.places(self.authority).is_slow(self.turn)
    }
}

/// What is answered without a statement alone.
struct Plain {
    engine: Arc<Engine>,
    session: Arc<Session>,
    request: GraphqlRequest,
    turn: Turn,
}

impl Plain {
    async fn run(&self) -> Result<Reading, ApiError> {
        let schema = self.engine.schemas.load().of(&self.session)?;
        let prepared = self.engine.prepare(&self.session, &schema, &self.request)?;
        let data = self.engine.query(&self.session, &schema, &self.request, prepared).await?;
        Ok(Reading { data, snapshot: None })
    }

    fn places(&self) -> &Arc<Places> {
        self.engine.subscriptions.places(self.session.authority)
    }
}

impl Reader for Plain {
    fn read(&self) -> BoxFuture<'_, Result<Reading, ApiError>> {
        self.places().read(self.turn, || self.run()).boxed()
    }

    fn is_slow(&self) -> bool {
        self.places().is_slow(self.turn)
    }
}
