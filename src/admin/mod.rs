//! Floor 5: the administrator's API and the state behind it.
//!
//! ```text
//! command ─▶ Project ─▶ Draft: one transaction, a copy of the metadata, the catalogue as it is inside
//!                         │ command by command: change, check against the catalogue
//!                         └▶ commit: store, triggers, grants, NOTIFY ─▶ engine (and the other servers)
//! ```
//!
//! `sources` has the databases beside the first one.
//!
//! [`Project`] is what the server serves: catalogue and metadata. Whatever
//! changes one of them goes through it, so that requests never see half of a
//! change.

mod capture;
mod changes;
pub mod command;
mod commands;
mod data;
mod draft;
mod dump;
mod enums;
mod grants;
mod project;
mod run_sql;
mod sources;
mod store;

pub use command::Endpoint;
pub use project::{CHANNEL, Project, ProjectError, ProjectOptions, stored_tables};
