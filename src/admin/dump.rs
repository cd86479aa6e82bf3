//! `/v1alpha1/pg_dump`: the database's own dump, as Hasura's CLI asks for it to
//! begin migrations with.

use serde::Deserialize;
use serde_json::Value;

use crate::base::{ApiError, Code};
use crate::metadata::source::DEFAULT_SOURCE;
use crate::pg::DumpError;
use crate::session::{Authority, Session};

use super::command::arguments;
use super::project::{Project, served};

#[derive(Deserialize)]
struct Dump {
    #[serde(default)]
    opts: Vec<String>,
    #[serde(default)]
    clean_output: Option<bool>,
    #[serde(default = "super::commands::default_source")]
    source: std::sync::Arc<str>,
}

/// Lines at the head of a dump that say nothing of the schema.
const FRONT: [&str; 15] = [
    "SET statement_timeout = 0;",
    "SET lock_timeout = 0;",
    "SET idle_in_transaction_session_timeout = 0;",
    "SET transaction_timeout = 0;",
    "SET client_encoding = 'UTF8';",
    "SET standard_conforming_strings = on;",
    "SELECT pg_catalog.set_config('search_path', '', false);",
    "SET check_function_bodies = false;",
    "SET xmloption = content;",
    "SET client_min_messages = warning;",
    "SET row_security = off;",
    "SET default_tablespace = '';",
    "SET default_table_access_method = heap;",
    "CREATE SCHEMA public;",
    "COMMENT ON SCHEMA public IS 'standard public schema';",
];
/// Triggers that metadata makes.
const TRIGGERS: [&str; 4] = [
    "CREATE TRIGGER notify_hasura_",
    "CREATE TRIGGER \"notify_hasura_",
    "CREATE TRIGGER ringfence_event_",
    "CREATE TRIGGER \"ringfence_event_",
];

impl From<DumpError> for ApiError {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Login(error) => error.into(),
            DumpError::Option(_) => ApiError::new(Code::BadRequest, error.to_string()),
            DumpError::Run(_) => ApiError::new(Code::NotSupported, error.to_string()),
            DumpError::Failed(_) | DumpError::Text => {
                ApiError::new(Code::Unexpected, error.to_string()).with_status(500)
            }
        }
    }
}

impl Project {
    /// Answers a request of the administrator with SQL text.
    pub async fn dump(&self, session: &Session, body: &Value) -> Result<String, ApiError> {
        if session.authority != Authority::Admin {
            let message = "restricted access : admin only";
            return Err(ApiError::new(Code::AccessDenied, message).with_status(400));
        }
        let Dump { opts, clean_output, source } = arguments(body)?;
        let pg = if *source == *DEFAULT_SOURCE {
            self.pg().clone()
        } else {
            let state = self.state().lock().await;
            let found = served(&state.further).find(|(name, _)| ***name == *source);
            found.map(|(_, served)| served.database.pg.clone()).ok_or_else(|| {
                let message = format!("source with name \"{source}\" does not exist");
                ApiError::new(Code::NotExists, message)
            })?
        };
        let text = pg.dump(&opts).await?;
        Ok(if clean_output == Some(true) { cleaned(&text) } else { text })
    }
}

/// Without what differs from server to server.
fn cleaned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let drop = line.trim().is_empty()
            || line.starts_with("--")
            || line.starts_with("\\restrict")
            || line.starts_with("\\unrestrict")
            || FRONT.contains(&line)
            || TRIGGERS.iter().any(|trigger| line.starts_with(trigger));
        if !drop {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}
