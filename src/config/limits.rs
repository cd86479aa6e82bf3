//! How much one request may ask for.

use super::setting::section;
use super::value::{ByteSize, positive};

section! {
    /// How much one request may ask for. What exceeds a limit is refused before any SQL runs.
    LimitsConfig "Limits" "limits." {
        /// The largest request body, after decompression too.
        body: ByteSize = "1MiB", check at_least_1kib;
        /// The same for callers who prove nothing and get `auth.unauthorized_role`; never more than
        /// `limits.body`.
        anonymous_body: ByteSize = "128KiB", check at_least_1kib;
        /// The same at the endpoints of the administrator, where whole metadata is sent.
        admin_body: ByteSize = "64MiB", check at_least_1kib;
        /// The deepest selection.
        depth: u32 = "64", check positive;
        /// The most fields of one operation, fragments counted where they are used.
        nodes: u32 = "20000", check positive;
        /// The most rows of one list; `off` leaves it to the query.
        rows: Option<u32> = "off";
        /// The most rows of one insert, and the most updates that the lists of one
        /// operation ask for (`update_<table>_many`, nested updates).
        insert_rows: u32 = "10000", check positive;
        /// The most operations in one batch.
        batch: u32 = "20", check positive;
        /// Memory for compiled operations.
        plan_cache_bytes: ByteSize = "32MiB";
    }
}

fn at_least_1kib(size: &ByteSize) -> Result<(), String> {
    if size.0 < 1024 { Err("must be at least 1KiB".to_owned()) } else { Ok(()) }
}
