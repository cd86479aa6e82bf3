//! Settings outside any section.

use super::setting::section;
use super::value::choice;

choice! {
    /// How strict the start is.
    Mode: "`production` or `development`" {
        /// Findings that let a tenant see another's rows stop the start.
        Production = "production",
        /// Such findings are logged.
        Development = "development",
    }
}

section! {
    /// Keys at the top of the file, outside any section.
    GeneralConfig "General" "" {
        /// In `production` every finding of `ringfence doctor` that could open the tenant boundary
        /// stops the start; in `development` a table with a tenant column but without row-level
        /// security is only warned about.
        mode: Mode = "production";
    }
}
