//! What of the database becomes GraphQL.

use super::setting::{same, section};
use super::value::choice;

choice! {
    /// Whether tables appear without being tracked.
    AutoTrack: "`on`, `off` or `auto`" {
        On = "on",
        Off = "off",
        /// On until metadata is stored for the first time.
        Auto = "auto",
    }
}

choice! {
    /// How the names of the schema are spelled.
    NamingConvention: "`hasura-default` or `graphql-default`" {
        /// As the database has them, with underscores.
        HasuraDefault = "hasura-default",
        /// Fields `camelCase`, types `PascalCase`.
        GraphqlDefault = "graphql-default",
    }
}

section! {
    /// What of the database becomes GraphQL.
    SchemaConfig "Schema" "schema." {
        /// Database schemas to expose. The first gives names without a prefix, the others
        /// `schema_table`.
        expose: Vec<String> = "public", check not_empty;
        /// Whether tables appear without being tracked; `auto` does so until metadata is stored.
        auto_track: AutoTrack = "auto";
        /// How names are spelled in sources whose metadata does not say: with underscores, or with
        /// fields `camelCase` and types `PascalCase`.
        default_naming_convention: NamingConvention = "hasura-default",
            env ["HASURA_GRAPHQL_DEFAULT_NAMING_CONVENTION" => same];
        /// Whether views appear that read past row-level security: with their owner's rights,
        /// through a `SECURITY DEFINER` function, a materialised view or a partition.
        expose_owner_views: bool = "false";
        /// Whether numbers that a double cannot hold (`bigint`, `numeric`, `double precision`) are
        /// shown as text.
        stringify_numeric_types: bool = "false",
            env ["HASURA_GRAPHQL_STRINGIFY_NUMERIC_TYPES" => same];
        /// Whether a role that may select the rows that a function returns may call it; where not,
        /// the function's own permissions decide. Functions that write always need one.
        infer_function_permissions: bool = "true",
            env ["HASURA_GRAPHQL_INFER_FUNCTION_PERMISSIONS" => same];
        /// Whether roles may run only operations of the allow list; the administrator runs anything.
        enable_allowlist: bool = "false",
            env ["HASURA_GRAPHQL_ENABLE_ALLOWLIST" => same];
        /// Whether `auth.uid()`, `auth.role()` and `auth.jwt()` are made, under which policies written
        /// for Supabase know the caller; not where a schema `auth` is there already.
        supabase_helpers: bool = "false";
        /// Names of the columns that hold the tenant; a table with one and without row-level
        /// security is a finding.
        tenant_columns: Vec<String> = "tenant_id";
    }
}

fn not_empty(schemas: &[String]) -> Result<(), String> {
    const OURS: [&str; 4] = ["hdb_catalog", "ringfence", "pg_catalog", "information_schema"];
    match schemas.iter().find(|name| OURS.contains(&name.as_str())) {
        Some(name) => Err(format!("the schema \"{name}\" can never be exposed")),
        None if schemas.is_empty() => Err("must name at least one schema".to_owned()),
        None => Ok(()),
    }
}
