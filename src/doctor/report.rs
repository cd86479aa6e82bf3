//! Findings for people and for programs.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::{Finding, Severity};

/// What `ringfence doctor` prints; `--json` serialises it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub refusals: usize,
    pub warnings: usize,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn new(findings: Vec<Finding>) -> Self {
        let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
        Report { refusals: count(Severity::Refuse), warnings: count(Severity::Warn), findings }
    }

    /// Whether the server would not start.
    pub fn has_refusals(&self) -> bool {
        self.refusals > 0
    }

    /// The exit code of `ringfence doctor`.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.has_refusals())
    }
}

fn indented(f: &mut fmt::Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(f, "{indent}{line}"))
}

/// Groups findings of one kind: the reason once, then each object with its
/// message and statement.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: Option<&Finding> = None;
        let mut printed: HashSet<&str> = HashSet::new();
        for finding in &self.findings {
            if last.is_none_or(|last| last.severity != finding.severity) {
                let title = match finding.severity {
                    Severity::Refuse => "These keep the server from starting",
                    Severity::Warn => "Warnings",
                    Severity::Info => "Good to know",
                };
                writeln!(f, "{}{title}", if last.is_some() { "\n" } else { "" })?;
            }
            if last.is_none_or(|last| last.id != finding.id) {
                writeln!(f, "\n  {}", finding.id)?;
                wrapped(f, "    ", finding.why)?;
            }
            writeln!(f, "    - {}: {}", finding.object, finding.message)?;
            match finding.fix.as_deref() {
                Some(fix) if printed.insert(fix) => indented(f, "        ", fix)?,
                Some(_) => writeln!(f, "        (mended by a statement above)")?,
                None => {}
            }
            last = Some(finding);
        }
        if last.is_some() {
            writeln!(f)?;
        }
        match (self.refusals, self.warnings) {
            (0, 0) => writeln!(f, "Nothing to mend."),
            (refusals, warnings) => {
                writeln!(f, "{refusals} refusing, {warnings} warnings.")
            }
        }
    }
}

/// Lines of at most 96 characters.
fn wrapped(f: &mut fmt::Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    let mut width = 0;
    for word in text.split_whitespace() {
        if width == 0 {
            f.write_str(indent)?;
        } else if width + word.len() >= 92 {
            write!(f, "\n{indent}")?;
            width = 0;
        } else {
            f.write_str(" ")?;
        }
        f.write_str(word)?;
        width += word.len() + 1;
    }
    if width > 0 { writeln!(f) } else { Ok(()) }
}
