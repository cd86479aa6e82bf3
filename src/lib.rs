//! Ringfence: a GraphQL API over PostgreSQL in which row-level security
//! decides what leaves the database.
//!
//! ```text
//! 7  main  cli  app                 wiring
//! 6  transport  console             the edge
//! 5  admin ─▶ engine                 what is served, and how it is changed; the façade
//! 4  operation ─▶ plan  live        bind; Plan → Statement; what wakes a subscription
//! 3  schema  graphql                per-role schema; the language
//! 2  metadata  catalog  doctor  action   what we were told to show; what the database has; handlers
//! 1  sql  pg  session  cluster  response_cache   SQL as data; Postgres as a service; who asks
//! 0  base  config  telemetry        no domain
//! ```
//!
//! Dependencies point down; `tests/layers.rs` keeps it so.

pub mod action;
pub mod admin;
pub mod app;
pub mod base;
pub mod catalog;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod console;
pub mod doctor;
pub mod engine;
pub mod graphql;
pub mod live;
pub mod metadata;
pub mod operation;
pub mod pg;
pub mod plan;
pub mod response_cache;
pub mod schema;
pub mod session;
pub mod sql;
pub mod telemetry;
pub mod transport;
