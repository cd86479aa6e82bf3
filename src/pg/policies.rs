//! Row-level security of the product's own tables: `policies/*.sql`, which
//! `migrate` runs after `sql/V*.sql`. A file runs when its text is not the one
//! that ran last.

use serde::Deserialize;
use serde_json::json;

use super::error::PgError;
use super::migrate::{MigrateError, Session};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../policies/", $name)))),*]
    };
}

/// Name and text, in the order in which they run.
const FILES: &[(&str, &str)] = files![
    "hdb_catalog.hdb_metadata.sql",
    "hdb_catalog.hdb_version.sql",
    "ringfence.events.sql",
    "ringfence.logins.sql",
    "ringfence.metadata_found.sql",
    "ringfence.migrations.sql",
    "ringfence.policies.sql",
];

/// A file whose text has not run.
#[derive(Debug, Deserialize)]
pub(super) struct Pending {
    pub(super) file: String,
    pub(super) sql: String,
}

const PENDING: &str = "select coalesce(json_agg(json_build_object('file', f.file, 'sql', f.sql) order by f.ord), '[]')::text
    from json_to_recordset($1::json) f (ord int, file text, sql text)
    left join ringfence.policies p on p.file = f.file and p.sql = f.sql
    where p.file is null";

/// The files that have to run, once `ringfence.policies` is there.
pub(super) async fn pending(session: &Session) -> Result<Vec<Pending>, MigrateError> {
    let files: Vec<_> = FILES
        .iter()
        .enumerate()
        .map(|(ord, (file, sql))| json!({"ord": ord, "file": file, "sql": sql}))
        .collect();
    session.json(PENDING, &[&serde_json::Value::from(files).to_string()]).await
}

/// All files, for a database in which nothing is yet.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(_, sql)| *sql)
}

const NOTE: &str = "with noted as (
      insert into ringfence.policies (file, sql) values ($1, $2)
      on conflict (file) do update set sql = excluded.sql, applied_at = excluded.applied_at
      returning file)
    select pg_catalog.to_json(file)::text from noted";

/// Runs one file and notes its text, or neither.
///
/// # Errors
///
/// What Postgres said of the file, as when its table stays locked.
pub(super) async fn apply(session: &Session, pending: &Pending) -> Result<(), PgError> {
    session.try_run("begin").await?;
    let ran = async {
        session.try_run(&pending.sql).await?;
        session.text(NOTE, &[&pending.file, &pending.sql]).await.map(drop)
    };
    match ran.await {
        Ok(()) => session.try_run("commit").await,
        Err(error) => {
            session.try_run("rollback").await?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

    #[test]
    fn every_file_of_the_folder_runs() {
        let mut there: Vec<String> = std::fs::read_dir("policies")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| std::path::Path::new(name).extension().is_some_and(|e| e == "sql"))
            .collect();
        there.sort();
        let run: Vec<&str> = super::FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(there, run);
    }
}
