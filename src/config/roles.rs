//! From GraphQL roles to database roles.

use super::setting::section;
use super::value::NameMap;

section! {
    /// The database role under which the statements of a GraphQL role run.
    RolesConfig "Roles" "roles." {
        /// GraphQL role to database role.
        map: NameMap = "";
        /// Whether a GraphQL role without an entry runs as the database role of the same name,
        /// if the login of the requests may set it.
        automap: bool = "true";
    }
}
