//! Tables of tenants: are they fenced, and do keys and indexes follow the
//! tenant?

use std::collections::BTreeSet;

use super::text::{columns, ident, literal, roles, table as table_name};
use super::views::revoke;
use super::{Context, Findings, Severity};
use crate::catalog::model::{
    Column, ColumnId, ForeignKey, Index, PgType, Policy, PolicyCommand, Privilege,
    ReferentialAction, Table, TableKind,
};

const UNFENCED: &str = "The table holds rows of several tenants, and nothing in the database keeps \
    one from reading another's.";
const NOT_ENABLED: &str = "Policies do nothing until row-level security is enabled on the table.";
const ESCAPES: &str = "Row-level security does not cover TRUNCATE, REFERENCES and TRIGGER: a role \
    that sees one row can empty the table.";
const NO_COMMAND: &str = "With row-level security and without a permissive policy for a command, \
    the command touches no row and reports success.";
const FORCED: &str = "FORCE binds the owner too: migrations and functions that run as the owner \
    see no rows and change none, without an error. It is needed only where a role of requests owns \
    the table.";
const FOREIGN_KEY: &str = "The key is checked without row-level security: a row can point at \
    another tenant's row, errors tell whether that row exists, and cascades reach it.";
const INDEX: &str = "Policies compare the tenant first. An index that begins with another column \
    walks through the rows of all tenants.";
const UNIQUE: &str = "A duplicate of another tenant's value is refused, which tells that the value \
    exists there.";
const NAMES: &str = "GraphQL names have the form [_A-Za-z][_0-9A-Za-z]* and do not begin with two \
    underscores.";

const NO_SCHEMA: &str = "None of its tables can be shown until it exists.";

pub(super) fn check(cx: &Context<'_>, findings: &mut Findings) {
    schemas(cx, findings);
    for table in cx.tables() {
        names(table, findings);
        if table.is_partition {
            continue;
        }
        if matches!(table.kind, TableKind::Table | TableKind::Partitioned) {
            fence(cx, table, findings);
            if let Some(tenant) = tenant_column(cx, table) {
                foreign_keys(cx, table, tenant, findings);
                indexes(table, tenant, findings);
                uniques(cx, table, tenant, findings);
            }
        }
    }
}

fn schemas(cx: &Context<'_>, findings: &mut Findings) {
    let exposed: BTreeSet<&str> = cx.input.schemas.iter().map(String::as_str).collect();
    for schema in exposed {
        if cx.catalog.schemas.values().any(|known| *known.name == *schema) {
            continue;
        }
        let name = ident(schema);
        findings.add(
            "schema-missing",
            Severity::Warn,
            format!("schema {name}"),
            format!("schema.expose names the schema {name}, which does not exist"),
            NO_SCHEMA,
            Some(format!("CREATE SCHEMA {name};")),
        );
    }
}

pub(super) fn tenant_column<'t>(cx: &Context<'_>, table: &'t Table) -> Option<&'t Column> {
    cx.input
        .tenant_columns
        .iter()
        .find_map(|name| table.columns.iter().find(|column| *column.name == **name))
}

fn is_graphql_name(name: &str) -> bool {
    !name.starts_with("__")
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn names(table: &Table, findings: &mut Findings) {
    let object = table_name(table);
    if !is_graphql_name(&table.name) {
        findings.add(
            "name-not-graphql",
            Severity::Info,
            format!("table {object}"),
            "it is not shown: its name is no GraphQL name",
            NAMES,
            Some(format!("ALTER TABLE {object} RENAME TO {};", legal(&table.name))),
        );
    }
    for column in &table.columns {
        if !is_graphql_name(&column.name) {
            findings.add(
                "name-not-graphql",
                Severity::Info,
                format!("column {object}.{}", ident(&column.name)),
                "it is not shown: its name is no GraphQL name",
                NAMES,
                Some(format!(
                    "ALTER TABLE {object} RENAME COLUMN {} TO {};",
                    ident(&column.name),
                    legal(&column.name)
                )),
            );
        }
    }
}

/// A legal name that resembles `name`.
fn legal(name: &str) -> String {
    let body: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let body = body.trim_start_matches('_');
    let starts = body.starts_with(|c: char| c.is_ascii_alphabetic());
    ident(&if starts { body.to_owned() } else { format!("x_{body}") })
}

fn fence(cx: &Context<'_>, table: &Table, findings: &mut Findings) {
    let object = table_name(table);
    let users = cx.users_of(table);
    let refuses = if cx.input.production { Severity::Refuse } else { Severity::Warn };
    if !table.rls_enabled {
        let enable = format!("ALTER TABLE {object} ENABLE ROW LEVEL SECURITY;");
        if !table.policies.is_empty() {
            findings.add(
                "policies-without-rls",
                refuses,
                format!("table {object}"),
                "it has policies, but row-level security is not enabled",
                NOT_ENABLED,
                Some(enable),
            );
        } else if let Some(tenant) = tenant_column(cx, table) {
            findings.add(
                "tenant-table-without-rls",
                refuses,
                format!("table {object}"),
                format!("it has the column {} but no row-level security", ident(&tenant.name)),
                UNFENCED,
                Some(format!("{enable}\n{}", tenant_policy(cx, table, tenant, &users))),
            );
        }
        return;
    }
    let escapes = [Privilege::Truncate, Privilege::References, Privilege::Trigger];
    if let Some(fix) = revoke(cx, table, &escapes) {
        findings.add(
            "grant-escapes-rls",
            Severity::Warn,
            format!("table {object}"),
            "a role of requests has rights that row-level security does not cover",
            ESCAPES,
            Some(fix),
        );
    }
    commands(cx, table, findings);
    let owner = cx.catalog.roles.get(&table.owner);
    if table.rls_forced && owner.is_some_and(|role| !role.superuser && !role.bypass_rls) {
        let needed = cx
            .requests
            .values()
            .chain(cx.authenticator.iter())
            .any(|role| cx.catalog.rights(*role).hold(table.owner));
        if !needed {
            findings.add(
                "force-blinds-owner",
                Severity::Info,
                format!("table {object}"),
                format!("its policies bind its owner {} too", cx.catalog.role_name(table.owner)),
                FORCED,
                Some(format!("ALTER TABLE {object} NO FORCE ROW LEVEL SECURITY;")),
            );
        }
    }
}

/// Commands that are granted and never touch a row.
fn commands(cx: &Context<'_>, table: &Table, findings: &mut Findings) {
    for (command, word) in [
        (PolicyCommand::Select, "SELECT"),
        (PolicyCommand::Insert, "INSERT"),
        (PolicyCommand::Update, "UPDATE"),
        (PolicyCommand::Delete, "DELETE"),
    ] {
        let roles_without = cx.roles_that(|role| {
            let (Some(privileges), Some(rights)) = (cx.privileges.get(&role), cx.rights.get(&role))
            else {
                return false;
            };
            let granted = privileges.table(table.id);
            let may = match command {
                PolicyCommand::Select => !granted.select.is_empty(),
                PolicyCommand::Insert => !granted.insert.is_empty(),
                PolicyCommand::Update => !granted.update.is_empty(),
                _ => granted.delete,
            };
            let bypass =
                cx.catalog.relations.get(&table.oid).is_some_and(|facts| rights.bypass(facts));
            let allowed = |policy: &Policy| policy.permissive && rights.subject_to(policy, command);
            may && !bypass && !table.policies.iter().any(allowed)
        });
        if !roles_without.is_empty() {
            findings.add(
                "command-without-policy",
                Severity::Info,
                format!("table {}", table_name(table)),
                format!("{} may {word} but no policy lets any row through", roles(roles_without)),
                NO_COMMAND,
                None,
            );
        }
    }
}

fn tenant_policy(
    cx: &Context<'_>,
    table: &Table,
    tenant: &Column,
    users: &BTreeSet<&str>,
) -> String {
    let cast = match cx.catalog.types.get(&tenant.type_oid) {
        Some(PgType { category: 'S', .. }) | None => String::new(),
        Some(ty) if *ty.schema == *"pg_catalog" => format!("::{}", ty.name),
        Some(ty) => format!("::{}", super::text::qualified(&ty.schema, &ty.name)),
    };
    let to = if users.is_empty() {
        String::new()
    } else {
        format!("\n  TO {}", roles(users.iter().copied()))
    };
    let test = format!(
        "{} = (select nullif(current_setting({}, true), ''){cast})",
        ident(&tenant.name),
        literal("app.tenant_id")
    );
    format!(
        "CREATE POLICY tenant_isolation ON {}{to}\n  USING ({test})\n  WITH CHECK ({test});",
        table_name(table)
    )
}

fn foreign_keys(cx: &Context<'_>, table: &Table, tenant: &Column, findings: &mut Findings) {
    for key in &table.foreign_keys {
        let Some(target) = cx.catalog.table(key.target) else { continue };
        let Some(target_tenant) = tenant_column(cx, target) else { continue };
        // A key to the tenants themselves is the tenant.
        let carries = key
            .columns
            .iter()
            .zip(&key.target_columns)
            .any(|(from, to)| *from == tenant.id || *to == target_tenant.id);
        if carries {
            continue;
        }
        findings.add(
            "fk-across-tenants",
            Severity::Warn,
            format!("constraint {} on {}", ident(&key.name), table_name(table)),
            format!("the key to {} leaves out the tenant", table_name(target)),
            FOREIGN_KEY,
            composite_key(cx, table, tenant, target, target_tenant, key),
        );
    }
}

/// The key with the tenant in front, in place of the old one.
fn composite_key(
    cx: &Context<'_>,
    table: &Table,
    tenant: &Column,
    target: &Table,
    target_tenant: &Column,
    key: &ForeignKey,
) -> Option<String> {
    let with = |tenant: ColumnId, rest: &[ColumnId]| {
        let mut all = vec![tenant];
        all.extend_from_slice(rest);
        all
    };
    let from = with(tenant.id, &key.columns);
    let to = with(target_tenant.id, &key.target_columns);
    let wanted: BTreeSet<ColumnId> = to.iter().copied().collect();
    let has_unique = target
        .primary_key
        .iter()
        .chain(&target.uniques)
        .any(|unique| unique.columns.iter().copied().collect::<BTreeSet<_>>() == wanted);
    let mut out = String::new();
    if !has_unique {
        out.push_str(&format!(
            "ALTER TABLE {} ADD UNIQUE ({});\n",
            table_name(target),
            columns(target, &to)
        ));
    }
    let action = |event: &str, action: ReferentialAction| -> Option<String> {
        // Only the old columns may become null, which Postgres can say since 15.
        let partly = || {
            (event == "DELETE" && cx.catalog.server_version >= 150_000)
                .then(|| format!(" ({})", columns(table, &key.columns)))
        };
        Some(match action {
            ReferentialAction::NoAction => String::new(),
            ReferentialAction::Restrict => format!(" ON {event} RESTRICT"),
            ReferentialAction::Cascade => format!(" ON {event} CASCADE"),
            ReferentialAction::SetNull => format!(" ON {event} SET NULL{}", partly()?),
            ReferentialAction::SetDefault => format!(" ON {event} SET DEFAULT{}", partly()?),
        })
    };
    let mut name = key.name.to_string();
    while name.len() > 56 {
        name.pop();
    }
    name.push_str("_tenant");
    out.push_str(&format!(
        "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({})\n  REFERENCES {} ({}){}{};\n",
        table_name(table),
        ident(&name),
        columns(table, &from),
        table_name(target),
        columns(target, &to),
        action("DELETE", key.on_delete)?,
        action("UPDATE", key.on_update)?,
    ));
    out.push_str(&format!(
        "ALTER TABLE {} DROP CONSTRAINT {};",
        table_name(table),
        ident(&key.name)
    ));
    Some(out)
}

fn leads(index: &Index, column: ColumnId) -> bool {
    index.columns.first() == Some(&Some(column))
}

fn indexes(table: &Table, tenant: &Column, findings: &mut Findings) {
    let object = table_name(table);
    if !table.indexes.iter().any(|index| leads(index, tenant.id) && !index.partial) {
        let key: Vec<ColumnId> = table
            .primary_key
            .iter()
            .flat_map(|key| &key.columns)
            .copied()
            .filter(|column| *column != tenant.id)
            .collect();
        let mut all = vec![tenant.id];
        all.extend(key);
        findings.add(
            "tenant-without-index",
            Severity::Warn,
            format!("table {object}"),
            format!("no index begins with {}", ident(&tenant.name)),
            INDEX,
            Some(format!("CREATE INDEX ON {object} ({});", columns(table, &all))),
        );
    }
    for index in &table.indexes {
        let plain: Option<Vec<ColumnId>> = index.columns.iter().copied().collect();
        let Some(plain) = plain else { continue };
        if &*index.method != "btree"
            || index.constraint
            || index.unique
            || index.partial
            || leads(index, tenant.id)
        {
            continue;
        }
        let mut all = vec![tenant.id];
        all.extend(plain.into_iter().filter(|column| *column != tenant.id));
        findings.add(
            "index-not-led-by-tenant",
            Severity::Info,
            format!("index {}", super::text::qualified(&table.schema, &index.name)),
            format!("it does not begin with {}", ident(&tenant.name)),
            INDEX,
            Some(format!(
                "CREATE INDEX ON {object} ({});\nDROP INDEX {};",
                columns(table, &all),
                super::text::qualified(&table.schema, &index.name)
            )),
        );
    }
}

fn uniques(cx: &Context<'_>, table: &Table, tenant: &Column, findings: &mut Findings) {
    for key in &table.uniques {
        if key.columns.contains(&tenant.id) {
            continue;
        }
        let referenced = cx.catalog.tables.iter().flat_map(|other| &other.foreign_keys).any(|fk| {
            fk.target == table.id
                && fk.target_columns.iter().collect::<BTreeSet<_>>()
                    == key.columns.iter().collect::<BTreeSet<_>>()
        });
        let mut all = vec![tenant.id];
        all.extend_from_slice(&key.columns);
        let object = table_name(table);
        findings.add(
            "unique-across-tenants",
            Severity::Warn,
            format!("constraint {} on {object}", ident(&key.name)),
            "it is unique over all tenants",
            UNIQUE,
            // Dropping a key that others refer to would drop theirs.
            (!referenced).then(|| {
                format!(
                    "ALTER TABLE {object} ADD UNIQUE ({});\nALTER TABLE {object} DROP CONSTRAINT {};",
                    columns(table, &all),
                    ident(&key.name)
                )
            }),
        );
    }
    let unnamed = table.indexes.iter().filter(|index| {
        index.unique && !index.constraint && !index.columns.contains(&Some(tenant.id))
    });
    for index in unnamed {
        findings.add(
            "unique-across-tenants",
            Severity::Warn,
            format!("index {}", super::text::qualified(&table.schema, &index.name)),
            "it is unique over all tenants",
            UNIQUE,
            None,
        );
    }
}
