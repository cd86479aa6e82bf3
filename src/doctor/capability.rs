//! Which optional features the database allows, what is lost without each, and
//! the grant that brings it.

use serde::{Deserialize, Serialize};

use super::text::ident;
use super::{ADMIN_ROLE, Context, Findings, Severity};
use crate::catalog::CatalogError;
use crate::pg::SystemTx;

/// Who runs the database; some have their own way to grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    Own,
    AmazonRds,
    GoogleCloudSql,
    AzureFlexible,
    Supabase,
}

/// What the server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Capabilities {
    pub wal_level: String,
    pub event_triggers: bool,
    pub publication: bool,
    pub in_recovery: bool,
}

const FACTS: &str = "select json_build_object(
  'wal_level', pg_catalog.current_setting('wal_level'),
  'event_triggers', 2 = (select count(*) from pg_catalog.pg_event_trigger
    where evtname in ('ringfence_catalog_ddl', 'ringfence_catalog_drop') and evtenabled in ('O', 'A')),
  'publication', exists (select from pg_catalog.pg_publication where pubname ~ '^ringfence'),
  'in_recovery', pg_catalog.pg_is_in_recovery())::text";

/// Asks the server.
pub async fn capabilities(tx: &SystemTx) -> Result<Capabilities, CatalogError> {
    let document = tx.query_text(FACTS, &[]).await?.ok_or(CatalogError::Empty)?;
    Ok(serde_json::from_str(&document)?)
}

fn service(cx: &Context<'_>) -> Service {
    let has = |name: &str| cx.catalog.role_names.contains_key(name);
    if has("rds_superuser") {
        Service::AmazonRds
    } else if has("cloudsqlsuperuser") {
        Service::GoogleCloudSql
    } else if has("azure_pg_admin") {
        Service::AzureFlexible
    } else if has("supabase_admin") {
        Service::Supabase
    } else {
        Service::Own
    }
}

pub(super) fn check(cx: &Context<'_>, capabilities: &Capabilities, findings: &mut Findings) {
    let service = service(cx);
    bypass(cx, findings);
    replication(cx, capabilities, service, findings);
    event_triggers(capabilities, findings);
    if capabilities.publication {
        available(findings, "publication", "changes are published for live queries");
    } else {
        findings.add(
            "capability-publication",
            Severity::Info,
            "publication",
            "there is no publication for live queries",
            "The server makes one when the first live query opens and the owner's login may; \
             without it live queries poll.",
            None,
        );
    }
}

fn available(findings: &mut Findings, object: &'static str, message: &'static str) {
    findings.add("capability-available", Severity::Info, object, message, "", None);
}

fn bypass(cx: &Context<'_>, findings: &mut Findings) {
    let admin = cx.catalog.role(ADMIN_ROLE);
    match admin {
        Some(role) if role.bypass_rls || role.superuser => {
            available(findings, "BYPASSRLS", "the administrator sees every row");
        }
        Some(_) => findings.add(
            "capability-bypassrls",
            Severity::Info,
            "BYPASSRLS",
            "the administrator is bound by row-level security",
            "It then needs a policy of its own on every table with row-level security; `migrate` \
             adds one to each table of the owner, other tables look empty to the administrator.",
            Some(format!("ALTER ROLE {} BYPASSRLS;", ident(ADMIN_ROLE))),
        ),
        None => findings.add(
            "capability-admin",
            Severity::Info,
            format!("role {ADMIN_ROLE}"),
            "there is no role for the administrator",
            "Without it there is no access with the admin secret, and no metadata API. \
             `ringfence migrate` makes it.",
            None,
        ),
    }
}

fn replication(
    cx: &Context<'_>,
    capabilities: &Capabilities,
    service: Service,
    findings: &mut Findings,
) {
    let login = cx.catalog.roles.values().find(|role| {
        role.can_login && role.replication && role.name.starts_with("ringfence_replication")
    });
    let logical = capabilities.wal_level == "logical";
    if login.is_some() && logical {
        available(findings, "REPLICATION", "live queries follow the write-ahead log");
        return;
    }
    let mut steps = Vec::new();
    if !logical {
        steps.push(match service {
            Service::AmazonRds => {
                "-- in the parameter group: rds.logical_replication = 1, then restart"
            }
            Service::GoogleCloudSql => {
                "-- set the flag cloudsql.logical_decoding = on, then restart"
            }
            Service::AzureFlexible => {
                "-- set the server parameter wal_level = logical, then restart"
            }
            Service::Supabase | Service::Own => {
                "ALTER SYSTEM SET wal_level = 'logical'; -- then restart the server"
            }
        });
    }
    if login.is_none() {
        steps.push("-- the login is made by: ringfence migrate");
        steps.push(match service {
            Service::AmazonRds => "GRANT rds_replication TO ringfence_replication;",
            _ => "ALTER ROLE ringfence_replication REPLICATION;",
        });
    }
    findings.add(
        "capability-replication",
        Severity::Info,
        "REPLICATION",
        match (login.is_some(), logical) {
            (false, false) => "there is no login with REPLICATION, and wal_level is not logical",
            (false, true) => "there is no login with REPLICATION",
            _ => "wal_level is not logical",
        },
        "Live queries then poll: the same answers, later.",
        Some(steps.join("\n")),
    );
}

fn event_triggers(capabilities: &Capabilities, findings: &mut Findings) {
    if capabilities.event_triggers {
        available(findings, "event trigger", "changes of the schema are noticed at once");
        return;
    }
    findings.add(
        "capability-event-trigger",
        Severity::Info,
        "event trigger",
        "changes of the schema are noticed by a check every second",
        "An event trigger tells of them at once and spares the check; only a superuser, or the \
         administrator of a managed service, may create one.",
        Some(
            "CREATE EVENT TRIGGER ringfence_catalog_ddl ON ddl_command_end EXECUTE FUNCTION ringfence.on_ddl();\n\
             CREATE EVENT TRIGGER ringfence_catalog_drop ON sql_drop EXECUTE FUNCTION ringfence.on_drop();"
                .to_owned(),
        ),
    );
}
