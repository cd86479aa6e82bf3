//! `pg_dump` of the owner's database, for whoever keeps migrations.

use std::process::Stdio;

use tokio::process::Command;
use tokio_postgres::config::Host;

use super::Pg;
use super::error::PgError;
use super::url::{ConnectionString, RootCert, SslMode};

/// Options that would reach for something other than this database and our
/// standard output.
const REFUSED: [(&str, char); 9] = [
    ("--file", 'f'),
    ("--dbname", 'd'),
    ("--host", 'h'),
    ("--port", 'p'),
    ("--username", 'U'),
    ("--password", 'W'),
    ("--no-password", 'w'),
    ("--jobs", 'j'),
    ("--verbose", 'v'),
];

#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("the option {0} of pg_dump is not allowed here")]
    Option(String),
    #[error("pg_dump cannot be run on this server: {0}")]
    Run(std::io::Error),
    #[error("error while executing pg_dump: {0}")]
    Failed(String),
    #[error("the output of pg_dump is not UTF-8")]
    Text,
    #[error(transparent)]
    Login(#[from] PgError),
}

impl Pg {
    /// What `pg_dump` prints with these options.
    pub async fn dump(&self, options: &[String]) -> Result<String, DumpError> {
        for option in options {
            if is_refused(option) {
                return Err(DumpError::Option(option.clone()));
            }
        }
        let owner = self.options().owner.as_ref().ok_or(PgError::NoLogin("owner"))?;
        let mut command = Command::new("pg_dump");
        command.args(options).stdin(Stdio::null()).kill_on_drop(true);
        environment(&mut command, owner);
        let output = command.output().await.map_err(DumpError::Run)?;
        if !output.status.success() {
            return Err(DumpError::Failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        String::from_utf8(output.stdout).map_err(|_| DumpError::Text)
    }
}

/// Whatever is no option would be the name of a database, unless the option
/// before takes it; those have to be written with `=` or in one word.
fn is_refused(option: &str) -> bool {
    if !option.starts_with('-') {
        // The value of an option such as `-n public`; a connection string has `=` or `:`.
        return option.contains(['=', ':', '/']);
    }
    REFUSED.iter().any(|(long, short)| {
        let is_long = option.split('=').next().is_some_and(|name| {
            // pg_dump takes any beginning of a name that is not ambiguous.
            name.len() > 3 && long.starts_with(name)
        });
        let is_short = !option.starts_with("--") && option.chars().skip(1).any(|c| c == *short);
        is_long || is_short
    })
}

/// The login by variables: arguments of processes can be read by everybody.
fn environment(command: &mut Command, url: &ConnectionString) {
    let hosts: Vec<String> = url
        .config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let ports: Vec<String> = url.config.get_ports().iter().map(u16::to_string).collect();
    command.env("PGHOST", hosts.join(","));
    if !ports.is_empty() {
        command.env("PGPORT", ports.join(","));
    }
    let user = url.user().unwrap_or_default();
    command.env("PGUSER", user).env("PGDATABASE", url.database().unwrap_or(user));
    if let Some(password) = url.config.get_password() {
        command.env("PGPASSWORD", String::from_utf8_lossy(password).as_ref());
    }
    let ssl = url.ssl();
    command.env(
        "PGSSLMODE",
        match ssl.mode {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        },
    );
    if let Some(RootCert::File(path)) = &ssl.root {
        command.env("PGSSLROOTCERT", path);
    }
    for (name, path) in [("PGSSLCERT", &ssl.cert), ("PGSSLKEY", &ssl.key)] {
        if let Some(path) = path {
            command.env(name, path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_refused;

    #[test]
    fn options_stay_with_this_database_and_its_output() {
        for good in
            ["-O", "-x", "--schema-only", "--schema", "public", "--schema=a", "-n", "--no-owner"]
        {
            assert!(!is_refused(good), "{good}");
        }
        for bad in [
            "-f",
            "-f/etc/x",
            "--file=/x",
            "--fil",
            "-Of/x",
            "--dbname=x",
            "host=evil",
            "postgres://x",
            "-h",
            "--host",
        ] {
            assert!(is_refused(bad), "{bad}");
        }
    }
}
