//! Event triggers, and what is in the outbox. Capturing is the work of the
//! draft when it commits.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::default_source;
use crate::admin::command::{Output, arguments, output, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code, JsonPath};
use crate::metadata::event::{EventDefinition, EventOperation, EventTrigger, RetryConfiguration};
use crate::metadata::permission::Columns;
use crate::metadata::{NonEmpty, QualifiedName};
use crate::schema::tracked::inconsistency::object_name;
use crate::schema::tracked::{ObjectKind, event};

#[derive(Deserialize)]
struct Create {
    #[serde(default = "default_source")]
    source: Arc<str>,
    name: NonEmpty,
    table: QualifiedName,
    #[serde(default)]
    insert: Option<EventOperation>,
    #[serde(default)]
    update: Option<EventOperation>,
    #[serde(default)]
    delete: Option<EventOperation>,
    #[serde(default)]
    enable_manual: Option<bool>,
    #[serde(default)]
    retry_conf: Option<RetryConfiguration>,
    #[serde(default)]
    webhook: Option<String>,
    #[serde(default)]
    webhook_from_env: Option<String>,
    #[serde(default)]
    headers: Option<Vec<Value>>,
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    request_transform: Option<Value>,
    #[serde(default)]
    response_transform: Option<Value>,
    #[serde(default)]
    cleanup_config: Option<Value>,
    #[serde(default)]
    trigger_on_replication: Option<bool>,
}

impl Create {
    /// What Hasura refuses while it reads the arguments, in its order.
    fn flaw(&self) -> Option<&'static str> {
        let operations = [&self.insert, &self.update, &self.delete];
        if let Some(reason) = event::wrong_name(&self.name) {
            return Some(reason);
        }
        if operations.iter().all(|operation| operation.is_none())
            && self.enable_manual != Some(true)
        {
            return Some(
                "atleast one amongst insert/update/delete/enable_manual spec must be provided",
            );
        }
        match (&self.webhook, &self.webhook_from_env) {
            (Some(_), Some(_)) => {
                return Some("only one of webhook or webhook_from_env should be given");
            }
            (None, None) => return Some("must provide webhook or webhook_from_env"),
            _ => {}
        }
        let is_empty =
            |columns: &Columns| matches!(columns, Columns::Named(names) if names.is_empty());
        for operation in operations.into_iter().flatten() {
            if is_empty(&operation.columns) {
                return Some("found empty column specification");
            }
            if operation.payload.as_ref().is_some_and(is_empty) {
                return Some("found empty payload specification");
            }
        }
        None
    }
}

pub(super) async fn create(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let create: Create = arguments(args)?;
    if let Some(reason) = create.flaw() {
        return Err(ApiError::new(Code::ParseFailed, reason));
    }
    let Create { source, name, table, replace, .. } = &create;
    draft.source(source)?;
    let on = find(draft, source, name);
    match (&on, replace) {
        (Some(on), true) if on != table => {
            return Err(ApiError::new(
                Code::NotSupported,
                "cannot replace table or schema for trigger",
            ));
        }
        (None, true) => return Err(no_trigger(name)),
        (Some(_), false) => {
            return Err(ApiError::new(
                Code::AlreadyExists,
                format!("Event trigger with name \"{name}\" already exists"),
            ));
        }
        _ => {}
    }
    let trigger = EventTrigger {
        name: name.clone(),
        definition: EventDefinition {
            enable_manual: create.enable_manual.unwrap_or_default(),
            insert: create.insert.clone(),
            update: create.update.clone(),
            delete: create.delete.clone(),
        },
        retry_conf: create.retry_conf.clone().unwrap_or_default(),
        webhook: create.webhook.clone(),
        webhook_from_env: create.webhook_from_env.clone(),
        headers: create.headers.clone().unwrap_or_default(),
        request_transform: create.request_transform.clone(),
        response_transform: create.response_transform.clone(),
        cleanup_config: create.cleanup_config.clone(),
        trigger_on_replication: create.trigger_on_replication.unwrap_or_default(),
    };
    if let Some(db) = draft.catalog_of(source)?.table_named(&table.schema, &table.name)
        && let Some(column) = event::missing_column(&trigger, db)
    {
        return Err(ApiError::new(Code::NotExists, format!("\"{column}\" does not exist")));
    }
    let written = draft.table_mut(source, table)?;
    match written.event_triggers.iter_mut().find(|found| found.name == *name) {
        Some(found) => *found = trigger,
        None => written.event_triggers.push(trigger),
    }
    let object = object_name(ObjectKind::EventTrigger, name, source, table);
    draft.check(Some((ObjectKind::EventTrigger, object))).await?;
    success()
}

/// The table that a trigger is on.
fn find(draft: &Draft<'_>, source: &str, name: &str) -> Option<QualifiedName> {
    let source = draft.metadata.source(source)?;
    let table = source
        .tables
        .iter()
        .find(|table| table.event_triggers.iter().any(|trigger| *trigger.name == *name))?;
    Some(table.table.clone())
}

fn no_trigger(name: &str) -> ApiError {
    ApiError::new(Code::NotExists, format!("event trigger \"{name}\" does not exist"))
}

#[derive(Deserialize)]
struct Named {
    #[serde(default = "default_source")]
    source: Arc<str>,
    name: NonEmpty,
}

pub(super) async fn delete(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Named { source, name } = arguments(args)?;
    draft.source(&source)?;
    let on = find(draft, &source, &name).ok_or_else(|| no_trigger(&name))?;
    draft.table_mut(&source, &on)?.event_triggers.retain(|trigger| trigger.name != name);
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct Invoke {
    #[serde(default = "default_source")]
    source: Arc<str>,
    name: NonEmpty,
    payload: Value,
}

const INVOKE: &str = "insert into ringfence.events
       (source_name, trigger_name, schema_name, table_name, payload)
     values ($1, $2, $3, $4, $5::text::json)
     returning id::text";

/// Puts an event of the caller's own into the outbox.
pub(super) async fn invoke(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Invoke { source, name, payload } = arguments(args)?;
    draft.source(&source)?;
    let on = find(draft, &source, &name).ok_or_else(|| no_trigger(&name))?;
    let table = draft.source(&source)?.table(&on);
    let manual = table.is_some_and(|table| {
        let named = table.event_triggers.iter().find(|trigger| trigger.name == name);
        named.is_some_and(|trigger| trigger.definition.enable_manual)
    });
    if !manual {
        return Err(ApiError::new(
            Code::NotSupported,
            "manual mode is not enabled for event trigger",
        ));
    }
    let event = json!({
        "op": "MANUAL",
        "data": {"old": null, "new": payload},
        "session_variables": {"x-hasura-role": "admin"},
        "trace_context": null,
    });
    let parameters = [&*source, &*name, &*on.schema, &*on.name, &event.to_string()];
    let id = draft.tx_in(&source).await?.query_text(INVOKE, &parameters).await?;
    output(&json!({"event_id": id}))
}

#[derive(Deserialize)]
struct Redeliver {
    #[serde(default = "default_source")]
    source: Arc<str>,
    event_id: String,
}

const REDELIVER: &str = "update ringfence.events set delivered = false, error = false, tries = 0
     where source_name = $1 and id::text = $2";

pub(super) async fn redeliver(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Redeliver { source, event_id } = arguments(args)?;
    draft.source(&source)?;
    if draft.tx_in(&source).await?.execute(REDELIVER, &[&source, &event_id]).await? == 0 {
        return Err(ApiError::new(Code::NotExists, "event not found"));
    }
    success()
}

/// How much of a log is answered.
const PAGE: u32 = 100;

const fn page() -> u32 {
    PAGE
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Processed,
    All,
}

impl Status {
    const fn all() -> Self {
        Status::All
    }

    const fn word(&self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Processed => "processed",
            Status::All => "all",
        }
    }
}

#[derive(Deserialize)]
struct Logs {
    #[serde(default = "default_source")]
    source: Arc<str>,
    name: NonEmpty,
    #[serde(default = "page")]
    limit: u32,
    #[serde(default)]
    offset: u32,
    #[serde(default = "Status::all")]
    status: Status,
}

const LOGS: &str = "select coalesce(json_agg(row_to_json(e)), '[]')::text
     from (select id, schema_name, table_name, trigger_name, payload, delivered, error, tries,
                  created_at, locked, next_retry_at, archived
           from ringfence.events
           where source_name = $1 and trigger_name = $2
             and case $3 when 'pending' then not (delivered or error or archived)
                         when 'processed' then (delivered or error) and not archived
                         else true end
           order by created_at desc
           limit $4::text::bigint offset $5::text::bigint) e";

/// `get_event_logs`
pub(super) async fn logs(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Logs { source, name, limit, offset, status } = arguments(args)?;
    draft.source(&source)?;
    find(draft, &source, &name).ok_or_else(|| no_trigger(&name))?;
    let (limit, offset) = (limit.to_string(), offset.to_string());
    let parameters = [&*source, &*name, status.word(), &*limit, &*offset];
    let found = draft.tx_in(&source).await?.query_text(LOGS, &parameters).await?;
    read(found.as_deref().unwrap_or("[]"))
}

/// `get_event_invocation_logs`: nothing was delivered yet, so nothing was
/// invoked.
pub(super) fn invocations(draft: &Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Named { source, name } = arguments(args)?;
    draft.source(&source)?;
    find(draft, &source, &name).ok_or_else(|| no_trigger(&name))?;
    output(&json!([]))
}

const ONE: &str = "select json_build_object('event', json_build_object(
       'id', id, 'schema_name', schema_name, 'table_name', table_name,
       'trigger_name', trigger_name, 'payload', payload, 'delivered', delivered, 'error', error,
       'tries', tries, 'created_at', created_at, 'locked', locked,
       'next_retry_at', next_retry_at, 'archived', archived), 'invocations', json_build_array())::text
     from ringfence.events where source_name = $1 and id::text = $2";

/// `get_event_by_id`
pub(super) async fn by_id(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Redeliver { source, event_id } = arguments(args)?;
    draft.source(&source)?;
    match draft.tx_in(&source).await?.query_text(ONE, &[&source, &event_id]).await? {
        Some(found) => read(&found),
        None => Err(ApiError::new(Code::NotExists, format!("event id {event_id} does not exist"))),
    }
}

/// JSON that Postgres made, as it is.
fn read(json: &str) -> Result<Output, ApiError> {
    let json = RawValue::from_string(json.to_owned());
    json.map_err(|error| ApiError::internal(error.to_string()))
}

/// Commands that make sense only where events are delivered.
pub(super) fn not_delivered(name: &str) -> Result<Output, ApiError> {
    Err(ApiError::new(
        Code::NotSupported,
        format!(
            "\"{name}\" is not supported: this version captures events and does not deliver them"
        ),
    )
    .at(JsonPath::root().key("type")))
}
