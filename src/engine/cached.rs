//! `@cached`: the answer to who asked the same before.
//!
//! What may be kept is a query whose answer is decided by its rows and by what
//! its transaction is told alone ([`crate::schema::RoleSchema::unsteady`]). Its
//! key is all of that: the statement, its parameters, the database role and
//! every setting, which are what policies know of a caller. So an answer goes
//! to nobody to whom Postgres would not have said the same at the time.
//!
//! The key also has what was served, the catalogue with its policies and grants
//! and the metadata, so a change of them leaves behind all that was kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{ApiError, JsonPath};
use crate::operation::BindError;
use crate::operation::bind::no_seconds;
use crate::operation::input::Operand;
use crate::plan::{Answer, CachedPlan};
use crate::response_cache::{Key, KeyBuilder};
use crate::schema::RoleSchema;
use crate::session::Session;

use super::answer::Ready;
use super::prepare::Prepared;
use super::{Engine, GraphqlRequest};

/// What a client is told of an answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub key: Key,
    /// The same for all values of the variables.
    pub family: Key,
    /// For how long it will still be given.
    pub left: Duration,
}

impl Engine {
    pub(super) async fn cached(
        &self,
        session: &Session,
        schema: &Arc<RoleSchema>,
        request: &GraphqlRequest,
        prepared: Prepared,
        cached: &CachedPlan,
    ) -> Result<(Bytes, Option<Kept>), ApiError> {
        let ttl = self.answers.ttl(seconds(&cached.asked.ttl, &prepared.leaves)?);
        let statement = matches!(prepared.plan.answer, Answer::Statement { .. });
        let steady = statement && prepared.plan.described.is_empty() && cached.unsteady.is_none();
        let Some(ttl) = ttl.filter(|_| steady) else {
            if let Some(reason) = &cached.unsteady {
                tracing::debug!(%reason, "an answer is not kept");
            }
            self.answers.count_bypass();
            return Ok((self.query(session, schema, request, prepared).await?, None));
        };
        let variables = request.variables.as_deref();
        let ready = self.ready(session, schema, variables, &prepared.plan, prepared.leaves)?;
        let (key, family) = keys(session, schema, &ready);
        if !cached.asked.refresh
            && let Some(found) = self.answers.get(&key, ttl).await
        {
            let left = found.ttl.min(ttl).saturating_sub(found.age);
            return Ok((found.answer, Some(Kept { key, family, left })));
        }
        let answer = self.run_ready(session, schema, &ready).await?;
        let kept = self.answers.put(&key, &answer, ttl).await;
        Ok((answer, kept.then_some(Kept { key, family, left: ttl })))
    }
}

/// The key of an answer, and that of its family.
fn keys(session: &Session, schema: &RoleSchema, ready: &Ready<'_>) -> (Key, Key) {
    let mut key = KeyBuilder::new();
    key.text(env!("CARGO_PKG_VERSION"));
    let (catalogs, metadata) = schema.version();
    for fingerprint in catalogs {
        key.number(fingerprint);
    }
    key.optional(metadata.map(|version| version.to_string()).as_deref());
    key.text(&session.role);
    key.text(&ready.role.binding.db_role);
    let settings = &ready.role.settings;
    key.text(settings.sql());
    for value in settings.values(session) {
        key.text(&value);
    }
    key.text(&ready.statement.text);
    let family = key.clone();
    for param in &ready.params {
        key.optional(param.as_str());
    }
    (key.finish(), family.finish())
}

/// The seconds of `ttl`, which may come in a variable.
fn seconds(ttl: &Operand, leaves: &[String]) -> Result<i64, ApiError> {
    let text = match ttl {
        Operand::Const(text) => Some(&**text),
        Operand::Leaf(leaf) => leaves.get(*leaf).map(String::as_str),
        _ => None,
    };
    let text = text.ok_or_else(|| ApiError::internal("a time that is no number"))?;
    text.parse::<i32>().map(i64::from).map_err(|_| {
        let path = JsonPath::root().key("cached").key("args").key("ttl");
        BindError::new(path, no_seconds("a string")).into()
    })
}
