//! Runs the script of a mutation: all its statements in one transaction, as
//! few round trips as their dependencies allow, all or nothing.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::base::{ApiError, Code, JsonPath};
use crate::pg::{Failed, Job, PgError, Reply, Statement, TxContext};
use crate::plan::Plan;
use crate::plan::script::{Empty, Gives, RootAnswer, Script, Step, Writes};
use crate::schema::{RoleSchema, SourceRole};
use crate::session::Session;

use super::Engine;
use super::answer::role_in;
use super::parameters::{Earned, Leaves};

/// A mutation that changed nothing.
pub(super) struct Unwritten {
    error: ApiError,
    /// An upsert met a row that it does not see.
    unseen: bool,
}

impl From<ApiError> for Unwritten {
    fn from(error: ApiError) -> Self {
        Unwritten { error, unseen: false }
    }
}

impl Engine {
    /// The data of a mutation, and the id of its transaction where it changed
    /// something.
    ///
    /// An upsert can meet a row that another transaction has inserted since its
    /// statement began. No snapshot tells that from a row that policies hide, but
    /// a second attempt does.
    pub(super) async fn write(
        &self,
        session: &Session,
        schema: &RoleSchema,
        plan: &Plan,
        script: &Script,
        texts: Vec<String>,
        variables: Option<&RawValue>,
    ) -> Result<(Bytes, Option<String>), ApiError> {
        let role = role_in(schema, script.source)?;
        self.admit(session, role, plan, &texts)?;
        let attempt = async |texts| {
            let slots = script.steps.iter().flat_map(|step| &step.slots);
            let leaves = Leaves::new(texts, slots, variables);
            self.attempt(session, schema, role, plan, script, leaves).await
        };
        if script.meets_rows {
            match attempt(texts.clone()).await {
                Err(Unwritten { unseen: true, .. }) => {}
                result => return result.map_err(|unwritten| unwritten.error),
            }
        }
        attempt(texts).await.map_err(|unwritten| unwritten.error)
    }

    async fn attempt(
        &self,
        session: &Session,
        schema: &RoleSchema,
        role: &SourceRole,
        plan: &Plan,
        script: &Script,
        mut leaves: Leaves<'_>,
    ) -> Result<(Bytes, Option<String>), Unwritten> {
        let steps = &script.steps;
        let named = plan.generic.run().repeated;
        let mut earned: Vec<Option<Earned>> = Vec::with_capacity(steps.len());
        let mut answers: Vec<Option<Bytes>> = Vec::with_capacity(steps.len());
        let mut transaction = None;
        let context = TxContext::new(session, &role.binding.db_role, &role.settings);
        let pg = self.database(schema, script.source)?;
        let mut tx = pg.write_as(&context);
        while earned.len() < steps.len() {
            let start = earned.len();
            // As many as need nothing of each other.
            let rest = steps.get(start..).unwrap_or_default();
            let ready = rest.iter().take_while(|step| step.takes().all(|taken| taken < start));
            let flight: Vec<&Step> = ready.collect();
            if flight.is_empty() {
                return Err(ApiError::internal("a statement needs one that comes later").into());
            }
            let skipped = |step: &Step| {
                step.after.is_some_and(|after| {
                    let before = earned.get(after).and_then(Option::as_ref);
                    before.is_none_or(|earned| earned.count == 0)
                })
            };
            let runs: Vec<Option<&Step>> =
                flight.into_iter().map(|step| (!skipped(step)).then_some(step)).collect();
            let sent: Vec<&Step> = runs.iter().flatten().copied().collect();
            let mut jobs = Vec::with_capacity(sent.len());
            for step in &sent {
                let statement = Statement {
                    text: step.text.clone(),
                    fingerprint: step.fingerprint,
                    named: named || step.repeated,
                };
                let params = leaves.fill(session, &step.slots, &earned)?;
                jobs.push(Job { statement, params });
            }
            let last = start + runs.len() == steps.len();
            let replies = if jobs.is_empty() && !last {
                Vec::new()
            } else {
                match tx.flight(&jobs, last).await {
                    Ok(replies) => replies,
                    Err(failed) => {
                        let unseen = failed.error.is_unseen_row();
                        return Err(Unwritten {
                            error: self.write_failed(schema, &sent, failed),
                            unseen,
                        });
                    }
                }
            };
            let mut replies = replies.into_iter();
            for step in runs {
                let Some(step) = step else {
                    earned.push(Some(Earned::default()));
                    answers.push(None);
                    continue;
                };
                let Some(Reply { json, second, .. }) = replies.next() else {
                    return Err(ApiError::internal("a statement gave no answer").into());
                };
                transaction = second.or(transaction);
                let (result, answer) = match step.gives {
                    Gives::Answer => (Earned::default(), Some(json)),
                    Gives::Rows => (decode(&json)?, None),
                };
                if let (Some(Empty { message, path }), 0) = (&step.empty, result.count)
                    && step.gives == Gives::Rows
                {
                    // The transaction is rolled back when it is dropped.
                    let error = ApiError::new(Code::NotSupported, message.clone());
                    return Err(error.at(path.clone()).into());
                }
                earned.push(Some(result));
                answers.push(answer);
            }
        }
        let mut out = Vec::new();
        push_object(&mut out, plan.keys.iter().zip(&script.roots), &answers)?;
        Ok((out.into(), transaction))
    }

    fn write_failed(&self, schema: &RoleSchema, flight: &[&Step], failed: Failed) -> ApiError {
        let Failed { error, at } = failed;
        let writes = at.and_then(|at| flight.get(at)).and_then(|step| step.writes.as_ref());
        let hint = match (&error, writes) {
            (PgError::Database(fault), Some(writes)) => told(schema, writes, fault),
            _ => None,
        };
        let refused = error.sqlstate() == Some("42501");
        let mut api = self.refused(error);
        if let Some(message) = hint {
            api.message = message.into();
        }
        match writes {
            Some(writes) if refused => api.at(writes.refused.clone()),
            Some(writes) => api.at(writes.path.clone()),
            None => api.at(JsonPath::root()),
        }
    }
}

/// A message that says more, or less, than that of the error alone.
fn told(schema: &RoleSchema, writes: &Writes, fault: &crate::pg::DbFault) -> Option<String> {
    let text = &fault.message;
    match &*fault.sqlstate {
        // The same words for policies of INSERT and of SELECT.
        "42501" if writes.reads_new && text.starts_with("new row violates row-level security") => {
            let own = schema.table(writes.table).map_or("", |table| &table.name);
            Some(format!(
                "new row violates row-level security policy for table \"{own}\": one for what is written or, as it is \
                 read afterwards, one of SELECT"
            ))
        }
        // Columns and tables that the role cannot see are not named.
        "23502" => {
            let column = fault.column.as_deref()?;
            let own = is_table(schema, writes, fault);
            let db = schema.table(writes.table)?;
            let id = db.columns.iter().find(|known| *known.name == *column)?.id;
            let types = &schema.types;
            let seen = own
                && (types.select(writes.table).is_some_and(|access| access.columns.contains(id))
                    || types.inserts(writes.table).is_some_and(|access| {
                        access.columns.contains(id)
                            || access.presets.iter().any(|(preset, _)| *preset == id)
                    })
                    || types
                        .updates_of(writes.table)
                        .is_some_and(|access| access.columns.contains(id)));
            (!seen)
                .then(|| "Not-NULL violation. a column that is not shown has no value".to_owned())
        }
        "23503" if !is_known(schema, fault) => Some(
            "Foreign key violation. the change violates a foreign key of a table that is not shown"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether an error speaks of the table that was written.
fn is_table(schema: &RoleSchema, writes: &Writes, fault: &crate::pg::DbFault) -> bool {
    schema.table(writes.table).is_some_and(|table| {
        fault.schema.as_deref() == Some(&table.schema)
            && fault.table.as_deref() == Some(&table.name)
    })
}

/// Whether the role sees the table that an error speaks of.
fn is_known(schema: &RoleSchema, fault: &crate::pg::DbFault) -> bool {
    let (Some(in_schema), Some(name)) = (&fault.schema, &fault.table) else { return false };
    schema.tracked().tables.iter().any(|tracked| {
        schema.types.access(tracked.id).is_some()
            && schema
                .table(tracked.id)
                .is_some_and(|table| *table.schema == **in_schema && *table.name == **name)
    })
}

/// `[count, rows]`
fn decode(json: &[u8]) -> Result<Earned, ApiError> {
    let wrong = |error: serde_json::Error| ApiError::internal(error.to_string());
    let parts: Vec<&RawValue> = serde_json::from_slice(json).map_err(wrong)?;
    let Some((count, rest)) = parts.split_first() else {
        return Err(ApiError::internal("a statement gave no count"));
    };
    let count = serde_json::from_str(count.get()).map_err(wrong)?;
    Ok(Earned { count, rows: rest.first().map(|rows| (*rows).to_owned()) })
}

fn push_object<'a>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a Arc<str>, &'a RootAnswer)>,
    answers: &[Option<Bytes>],
) -> Result<(), ApiError> {
    out.push(b'{');
    for (index, (key, root)) in fields.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Keys are names of GraphQL: nothing in them needs an escape.
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        push_root(out, root, answers)?;
    }
    out.push(b'}');
    Ok(())
}

fn push_root(
    out: &mut Vec<u8>,
    root: &RootAnswer,
    answers: &[Option<Bytes>],
) -> Result<(), ApiError> {
    match root {
        RootAnswer::Constant(json) => out.extend_from_slice(json),
        RootAnswer::Object(fields) => {
            let fields = fields.iter().map(|(key, root)| (key, root));
            push_object(out, fields, answers)?;
        }
        RootAnswer::Step(step) => {
            let answer = answers.get(*step).and_then(Option::as_ref);
            let answer = answer.ok_or_else(|| ApiError::internal("a root has no answer"))?;
            out.extend_from_slice(answer);
        }
        RootAnswer::List(parts) => {
            out.push(b'[');
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_root(out, part, answers)?;
            }
            out.push(b']');
        }
    }
    Ok(())
}
