//! What a server looks at before it serves a database, and again after each
//! change of it.

use std::collections::BTreeSet;

use super::{DoctorInput, Finding, Severity, run};
use crate::catalog::Catalog;
use crate::catalog::model::Oid;
use crate::config::{Config, Mode};

/// What is wrong with a database; `tracked` are tables that metadata names.
pub fn examine(
    config: &Config,
    catalog: &Catalog,
    tracked: &BTreeSet<Oid>,
    authenticator: &str,
) -> Vec<Finding> {
    let mapped: Vec<String> = config.roles.map.values().cloned().collect();
    run(&DoctorInput {
        catalog,
        authenticator,
        mapped_roles: &mapped,
        schemas: &config.schema.expose,
        tracked,
        production: config.mode() == Mode::Production,
        tenant_columns: &config.schema.tenant_columns,
        expose_owner_views: config.schema.expose_owner_views,
        capabilities: None,
        live: None,
    })
}

/// The findings with which a database is not served.
pub fn gaps(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.retain(|finding| finding.severity == Severity::Refuse);
    findings
}

/// So many findings fit into a message.
const LISTED: usize = 20;

/// One line for each of the first findings, and one for what mends it.
pub fn list(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings.iter().take(LISTED) {
        out.push_str(&format!("\n  - {}: {}", finding.object, finding.message));
        if let Some(fix) = &finding.fix {
            out.push_str(&format!("\n    {fix}"));
        }
    }
    if let Some(more @ 1..) = findings.len().checked_sub(LISTED) {
        out.push_str(&format!("\n  - and {more} more; `ringfence doctor` lists all"));
    }
    out
}
