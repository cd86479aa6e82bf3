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
    #[serde(skip)]
    pub replication_login: ReplicationLogin,
    /// Of `max_replication_slots` and `max_wal_senders`.
    pub slots: Places,
    pub senders: Places,
    /// Servers that follow the log of this database now.
    pub following: u32,
    pub event_triggers: bool,
    pub publication: bool,
    pub in_recovery: bool,
}

/// The login that follows the log for this database, as `migrate` noted it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ReplicationLogin {
    /// The login that asks may not read the notes.
    #[default]
    Unreadable,
    Missing,
    Named(String),
}

/// Something of which Postgres has only so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Places {
    pub all: u32,
    pub taken: u32,
}

impl Places {
    const fn is_full(self) -> bool {
        self.taken >= self.all
    }
}

/// What keeps a server from following the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hindrance {
    WalLevel,
    NoLogin,
    /// A server with the login that asks would not find one.
    UnreadableLogin,
    /// The login that there is may not.
    Rights(String),
    Slots(Places),
    Senders(Places),
}

impl Capabilities {
    /// What keeps a server from following the log; nothing if one does or could.
    pub(super) fn hindrances(&self, cx: &Context<'_>) -> Vec<Hindrance> {
        // It is the proof, whatever seems to be missing: rights come by
        // membership too, and not every login may read who has them.
        if self.following > 0 {
            return Vec::new();
        }
        let mut all = Vec::new();
        if self.wal_level != "logical" {
            all.push(Hindrance::WalLevel);
        }
        match &self.replication_login {
            ReplicationLogin::Unreadable => all.push(Hindrance::UnreadableLogin),
            ReplicationLogin::Missing => all.push(Hindrance::NoLogin),
            ReplicationLogin::Named(name) => match cx.catalog.role(name) {
                None => all.push(Hindrance::NoLogin),
                Some(role) if !(role.can_login && role.replication) => {
                    all.push(Hindrance::Rights(role.name.to_string()));
                }
                Some(_) => {}
            },
        }
        all.extend(self.full());
        all
    }

    /// Of what there is none left for another server.
    fn full(&self) -> Vec<Hindrance> {
        let slots = self.slots.is_full().then_some(Hindrance::Slots(self.slots));
        let senders = self.senders.is_full().then_some(Hindrance::Senders(self.senders));
        slots.into_iter().chain(senders).collect()
    }
}

impl std::fmt::Display for Hindrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hindrance::WalLevel => f.write_str("wal_level is not logical"),
            Hindrance::NoLogin => f.write_str("there is no login with REPLICATION"),
            Hindrance::UnreadableLogin => {
                f.write_str("this login cannot read which one has REPLICATION")
            }
            Hindrance::Rights(login) => {
                write!(f, "the login {} lacks LOGIN or REPLICATION", ident(login))
            }
            Hindrance::Slots(places) => {
                write!(f, "all {} replication slots are taken (max_replication_slots)", places.all)
            }
            Hindrance::Senders(places) => {
                write!(f, "all {} WAL senders are taken (max_wal_senders)", places.all)
            }
        }
    }
}

/// Several, in words.
pub(super) fn told(hindrances: &[Hindrance]) -> String {
    hindrances.iter().map(Hindrance::to_string).collect::<Vec<_>>().join(", and ")
}

const FACTS: &str = "select json_build_object(
  'wal_level', pg_catalog.current_setting('wal_level'),
  'slots', json_build_object(
    'all', pg_catalog.current_setting('max_replication_slots')::int,
    'taken', (select count(*) from pg_catalog.pg_replication_slots)),
  'senders', json_build_object(
    'all', pg_catalog.current_setting('max_wal_senders')::int,
    'taken', (select count(*) from pg_catalog.pg_stat_replication)),
  'following', (select count(*) from pg_catalog.pg_replication_slots
    where slot_name ~ '^ringfence_live_' and database = current_database() and active),
  'event_triggers', 2 = (select count(*) from pg_catalog.pg_event_trigger
    where evtname in ('ringfence_catalog_ddl', 'ringfence_catalog_drop') and evtenabled in ('O', 'A')),
  'publication', exists (select from pg_catalog.pg_publication where pubname ~ '^ringfence'),
  'in_recovery', pg_catalog.pg_is_in_recovery())::text";

/// Whether the logins that `migrate` made are ours to read: the owner's login may.
const READABLE: &str = "select
    (has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT'))::text
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'ringfence' and c.relname = 'logins'";
/// A copy of a database has the names of the original's logins.
const LOGIN: &str = "select l.role::text from ringfence.logins l, pg_catalog.pg_database d
  where l.kind = 'replication' and d.datname = current_database()
    and coalesce(to_jsonb(l) ->> 'database' = d.oid::text, not to_jsonb(l) ? 'database')";

/// Asks the server.
pub async fn capabilities(tx: &SystemTx) -> Result<Capabilities, CatalogError> {
    let document = tx.query_text(FACTS, &[]).await?.ok_or(CatalogError::Empty)?;
    let mut capabilities: Capabilities = serde_json::from_str(&document)?;
    capabilities.replication_login = match tx.query_text(READABLE, &[]).await?.as_deref() {
        None => ReplicationLogin::Missing,
        Some("true") => match tx.query_text(LOGIN, &[]).await? {
            None => ReplicationLogin::Missing,
            Some(name) => ReplicationLogin::Named(name),
        },
        Some(_) => ReplicationLogin::Unreadable,
    };
    Ok(capabilities)
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
    let hindrances = capabilities.hindrances(cx);
    if hindrances.is_empty() {
        available(findings, "REPLICATION", "live queries follow the write-ahead log");
        let full = capabilities.full();
        if !full.is_empty() {
            findings.add(
                "capability-replication-full",
                Severity::Info,
                "REPLICATION",
                format!("another server could not follow the log: {}", told(&full)),
                "Each server needs a replication slot and a WAL sender of its own; during a \
                 rolling restart one that begins may need them before another has let go.",
                Some(steps(&full, service)),
            );
        }
        return;
    }
    findings.add(
        "capability-replication",
        Severity::Info,
        "REPLICATION",
        told(&hindrances),
        "Live queries then poll, or follow triggers (live.manage = all): the same answers, later.",
        Some(steps(&hindrances, service)),
    );
}

/// What brings a server to follow the log.
fn steps(hindrances: &[Hindrance], service: Service) -> String {
    let mut steps = Vec::new();
    for hindrance in hindrances {
        match hindrance {
            Hindrance::WalLevel => steps.push(
                match service {
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
                }
                .to_owned(),
            ),
            Hindrance::NoLogin => {
                steps.push("-- the login is made by: ringfence migrate".to_owned());
                steps.push(replicate(service, "ringfence_replication"));
            }
            Hindrance::UnreadableLogin => {
                steps.push("-- give the owner's login in database.owner_url".to_owned());
            }
            Hindrance::Rights(login) => {
                steps.push(format!("ALTER ROLE {} LOGIN;", ident(login)));
                steps.push(replicate(service, login));
            }
            Hindrance::Slots(places) => {
                steps.push("-- slots that nobody needs: SELECT slot_name, active FROM pg_replication_slots;".to_owned());
                steps.push(raise(service, "max_replication_slots", *places));
            }
            Hindrance::Senders(places) => steps.push(raise(service, "max_wal_senders", *places)),
        }
    }
    steps.join("\n")
}

fn replicate(service: Service, login: &str) -> String {
    let login = ident(login);
    match service {
        Service::AmazonRds => format!("GRANT rds_replication TO {login};"),
        _ => format!("ALTER ROLE {login} REPLICATION;"),
    }
}

/// Two instances, and as many that are taking their places.
fn raise(service: Service, name: &str, places: Places) -> String {
    let value = places.taken.max(places.all).saturating_add(4);
    match service {
        Service::AmazonRds => {
            format!("-- in the parameter group: {name} = {value}, then restart")
        }
        Service::GoogleCloudSql | Service::AzureFlexible => {
            format!("-- set the server parameter {name} = {value}, then restart")
        }
        Service::Supabase | Service::Own => {
            format!("ALTER SYSTEM SET {name} = {value}; -- then restart the server")
        }
    }
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
