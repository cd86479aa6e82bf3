//! Where metadata comes from at start.

use super::setting::{same, section};

section! {
    /// Metadata in Hasura's format: what is tracked, under which names, and what roles may do with
    /// it. It is kept in the database where there is an owner's login.
    MetadataConfig "Metadata" "metadata." {
        /// A folder in the layout of Hasura's CLI v3, applied at each start. Without an owner's
        /// login it is served as it is.
        dir: Option<String> = "", env ["HASURA_GRAPHQL_METADATA_DIR" => same];
    }
}
