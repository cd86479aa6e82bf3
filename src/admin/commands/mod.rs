//! The commands, one file a family. Each takes its arguments, changes the
//! draft, and has the draft check what came of it.

mod action;
mod collection;
mod cron;
mod document;
mod endpoint;
mod event;
mod function;
mod inherited;
mod permission;
mod relationship;
mod source;
mod state;
mod suggest;
mod table;
mod unsupported;

use super::changes;
use super::command::{Command, Output};
use super::draft::Draft;
use super::run_sql;

use crate::base::{ApiError, Code};
use crate::schema::tracked::Inconsistency;
pub(super) use table::default_source;

/// Runs a command by its name; `None` when there is no such command.
pub(super) async fn run(
    draft: &mut Draft<'_>,
    name: &str,
    command: &Command,
) -> Option<Result<Output, ApiError>> {
    if name == "replace_metadata" {
        return Some(document::replace(draft, command).await);
    }
    let args = match command.args() {
        Ok(args) => args,
        Err(error) => return Some(Err(error)),
    };
    let args = &args;
    Some(match name {
        "run_sql" => run_sql::run(draft, args).await,
        "track_table" | "add_existing_table_or_view" => {
            table::track(draft, args, command.version).await
        }
        "untrack_table" => table::untrack(draft, args).await,
        "set_table_is_enum" => table::set_is_enum(draft, args).await,
        "set_table_customization" => table::set_customization(draft, args).await,
        "set_table_custom_fields" => table::set_custom_fields(draft, args).await,
        "create_object_relationship" => relationship::create_object(draft, args).await,
        "create_array_relationship" => relationship::create_array(draft, args).await,
        "drop_relationship" => relationship::drop(draft, args).await,
        "rename_relationship" => relationship::rename(draft, args).await,
        "set_relationship_comment" => relationship::set_comment(draft, args).await,
        "track_function" => function::track(draft, args).await,
        "untrack_function" => function::untrack(draft, args).await,
        "set_function_customization" => function::customize(draft, args).await,
        "create_function_permission" => function::create_permission(draft, args).await,
        "drop_function_permission" => function::drop_permission(draft, args).await,
        "add_computed_field" => function::add_computed_field(draft, args).await,
        "drop_computed_field" => function::drop_computed_field(draft, args).await,
        "add_inherited_role" => inherited::add(draft, args).await,
        "drop_inherited_role" => inherited::drop(draft, args).await,
        "set_custom_types" => action::set_types(draft, args).await,
        "create_action" => action::create(draft, args).await,
        "update_action" => action::update(draft, args).await,
        "drop_action" => action::drop(draft, args).await,
        "create_action_permission" => action::create_permission(draft, args).await,
        "drop_action_permission" => action::drop_permission(draft, args).await,
        "create_query_collection" => collection::create(draft, args).await,
        "rename_query_collection" => collection::rename(draft, args).await,
        "drop_query_collection" => collection::drop(draft, args).await,
        "add_query_to_collection" => collection::add_query(draft, args).await,
        "drop_query_from_collection" => collection::drop_query(draft, args).await,
        "add_collection_to_allowlist" => collection::allow(draft, args).await,
        "update_scope_of_collection_in_allowlist" => collection::set_scope(draft, args).await,
        "drop_collection_from_allowlist" => collection::disallow(draft, args).await,
        "create_rest_endpoint" => endpoint::create(draft, args).await,
        "drop_rest_endpoint" => endpoint::drop(draft, args).await,
        "add_source" => source::add(draft, args).await,
        "update_source" => source::update(draft, args).await,
        "drop_source" => source::drop(draft, args).await,
        "rename_source" => source::rename(draft, args).await,
        "list_source_kinds" => source::kinds(),
        "get_source_kind_capabilities" => source::capabilities(args),
        "get_table_info" => source::table_info(draft, args),
        "suggest_relationships" => suggest::relationships(draft, args),
        "get_source_tables" => suggest::tables(draft, args),
        "create_event_trigger" => event::create(draft, args).await,
        "delete_event_trigger" => event::delete(draft, args).await,
        "invoke_event_trigger" => event::invoke(draft, args).await,
        "redeliver_event" => event::redeliver(draft, args).await,
        "get_event_logs" => event::logs(draft, args).await,
        "get_event_invocation_logs" => event::invocations(draft, args),
        "get_event_by_id" => event::by_id(draft, args).await,
        "create_cron_trigger" => cron::create(draft, args).await,
        "delete_cron_trigger" => cron::delete(draft, args).await,
        "get_cron_triggers" => cron::list(draft),
        "create_scheduled_event"
        | "delete_scheduled_event"
        | "get_scheduled_events"
        | "get_scheduled_event_invocations"
        | "cleanup_event_trigger_logs"
        | "resume_event_trigger_cleanups"
        | "pause_event_trigger_cleanups" => event::not_delivered(&command.name),
        "get_catalog_state" => state::get(draft).await,
        "set_catalog_state" => state::set(draft, args).await,
        "dump_internal_state" => state::dump(draft),
        "create_select_permission" => permission::create_select(draft, args).await,
        "create_insert_permission" => permission::create_insert(draft, args).await,
        "create_update_permission" => permission::create_update(draft, args).await,
        "create_delete_permission" => permission::create_delete(draft, args).await,
        "drop_select_permission" => permission::drop_select(draft, args).await,
        "drop_insert_permission" => permission::drop_insert(draft, args).await,
        "drop_update_permission" => permission::drop_update(draft, args).await,
        "drop_delete_permission" => permission::drop_delete(draft, args).await,
        "set_permission_comment" => permission::set_comment(draft, args).await,
        "export_metadata" => document::export(draft, command.version),
        "clear_metadata" => document::clear(draft).await,
        "reload_metadata" => document::reload(draft, args).await,
        "get_inconsistent_metadata" => document::inconsistent(draft),
        "drop_inconsistent_metadata" => document::drop_inconsistent(draft).await,
        _ => return unsupported::refuse(name, args),
    })
}

/// After something was taken away: refuses when something else needs it, or
/// takes that away too.
pub(super) async fn settle(draft: &mut Draft<'_>, cascade: bool) -> Result<(), ApiError> {
    loop {
        let broken = draft.rebuild().await?;
        if broken.is_empty() {
            return Ok(());
        }
        if !cascade {
            let mut list: Vec<String> = broken.iter().map(changes::described).collect();
            list.sort();
            return Err(ApiError::new(
                Code::DependencyError,
                format!("cannot drop due to the following dependent objects : {}", list.join(", ")),
            ));
        }
        changes::remove_all(&mut draft.metadata, &broken);
    }
}

/// Refuses to take away what others need.
pub(super) fn dependents(mut list: Vec<String>) -> ApiError {
    list.sort();
    ApiError::new(
        Code::DependencyError,
        format!("cannot drop due to the following dependent objects : {}", list.join(", ")),
    )
}

/// Takes everything out of the metadata that is left out of the schema.
async fn drop_broken(draft: &mut Draft<'_>) -> Result<(), ApiError> {
    // What depends on something that is taken out may break in turn.
    for _ in 0..MAX_ROUNDS {
        let told = draft.tracked().inconsistencies.iter();
        let broken: Vec<Inconsistency> = told.filter(|found| found.breaks).cloned().collect();
        if broken.is_empty() {
            return Ok(());
        }
        changes::remove_all(&mut draft.metadata, &broken);
        draft.rebuild().await?;
    }
    Err(ApiError::internal("inconsistent metadata could not be taken out"))
}

/// Chains of dependencies are short.
const MAX_ROUNDS: usize = 16;
