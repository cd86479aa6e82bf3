//! Connection strings, in the URL and the key=value form of libpq.
//!
//! The driver's own parser does the common part; this file takes out what the
//! driver does not know (certificates, more modes) and names every option that
//! nobody knows. A password never appears in a message.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode as DriverMode, SslNegotiation, TargetSessionAttrs};

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    #[error("the connection string has an unknown option `{0}`")]
    UnknownOption(String),
    #[error("the connection string's option `{option}` must be {expected}")]
    Value { option: &'static str, expected: &'static str },
    #[error("the connection string names no host")]
    NoHost,
    #[error(
        "the connection string cannot be read{0}; expected postgres://user:password@host:port/database?option=value \
         or host=… user=… dbname=…; characters such as : / ? # @ % in a user name or password must be percent-encoded in a URL"
    )]
    Syntax(String),
}

/// How much of TLS is wanted, as libpq names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    Disable,
    /// Without TLS first, with it when the server refuses that.
    Allow,
    /// TLS when the server has it.
    #[default]
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// TLS and a certificate of a known authority.
    VerifyCa,
    /// The same, and made out to the host's name.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Ok(match text {
            "disable" => SslMode::Disable,
            "allow" => SslMode::Allow,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => {
                return Err(UrlError::Value {
                    option: "sslmode",
                    expected: "disable, allow, prefer, require, verify-ca or verify-full",
                });
            }
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCert {
    /// The operating system's authorities.
    System,
    /// A PEM file.
    File(PathBuf),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ssl {
    pub mode: SslMode,
    pub root: Option<RootCert>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// A parsed connection string.
#[derive(Clone)]
pub struct ConnectionString {
    pub(super) config: Config,
    pub(super) ssl: Ssl,
    /// `target_session_attrs=prefer-standby`
    pub(super) prefer_standby: bool,
    /// `pgbouncer=true`, as hosts with a transaction-mode pooler print it.
    pub pooled: bool,
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `user@host:port/database`, without the password.
impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = self.user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
            match ports.get(index).or_else(|| ports.first()) {
                Some(port) => write!(f, ":{port}")?,
                None => f.write_str(":5432")?,
            }
        }
        write!(f, "/{}", self.config.get_dbname().or(self.user()).unwrap_or(""))
    }
}

impl ConnectionString {
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    pub fn database(&self) -> Option<&str> {
        self.config.get_dbname()
    }

    pub fn ssl(&self) -> &Ssl {
        &self.ssl
    }

    pub(super) fn is_same_server(&self, other: &ConnectionString) -> bool {
        self.config.get_hosts() == other.config.get_hosts()
            && self.config.get_ports() == other.config.get_ports()
    }

    /// For strings that do not say it themselves.
    pub fn default_connect_timeout(&mut self, limit: Duration) {
        if self.config.get_connect_timeout().is_none() {
            self.config.connect_timeout(limit);
        }
    }

    /// The same server and database with another login.
    pub fn with_login(&self, user: &str, password: &str) -> ConnectionString {
        let mut other = self.clone();
        if let (None, Some(user)) = (other.config.get_dbname(), self.user().map(str::to_owned)) {
            other.config.dbname(user);
        }
        other.config.user(user).password(password);
        other
    }
}

/// The options that this file reads itself.
#[derive(Default)]
struct Extra {
    ssl: Ssl,
    application_name: Option<String>,
    fallback_application_name: Option<String>,
    target: Option<String>,
    pooled: bool,
    keepalives_idle: bool,
}

impl Extra {
    /// Takes an option that the driver does not know, or not fully.
    /// `Ok(false)` leaves it to the driver.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, UrlError> {
        match key {
            "sslmode" => self.ssl.mode = value.parse()?,
            // What JDBC-minded hosts print.
            "ssl" => {
                self.ssl.mode = match value {
                    "true" | "1" => SslMode::Require,
                    "false" | "0" => SslMode::Disable,
                    _ => return Err(UrlError::Value { option: "ssl", expected: "true or false" }),
                }
            }
            "sslrootcert" if value == "system" => self.ssl.root = Some(RootCert::System),
            "sslrootcert" => self.ssl.root = Some(RootCert::File(value.into())),
            "sslcert" => self.ssl.cert = Some(value.into()),
            "sslkey" => self.ssl.key = Some(value.into()),
            "application_name" => self.application_name = Some(value.to_owned()),
            "fallback_application_name" => self.fallback_application_name = Some(value.to_owned()),
            "target_session_attrs" => self.target = Some(value.to_owned()),
            "pgbouncer" => {
                self.pooled = match value {
                    "true" => true,
                    "false" => false,
                    _ => {
                        return Err(UrlError::Value {
                            option: "pgbouncer",
                            expected: "true or false",
                        });
                    }
                }
            }
            "client_encoding" => {
                if !matches!(value.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "auto") {
                    return Err(UrlError::Value { option: "client_encoding", expected: "UTF8" });
                }
            }
            // We never use these; only values that ask for nothing are taken.
            "gssencmode" => {
                if value == "require" {
                    return Err(UrlError::Value {
                        option: "gssencmode",
                        expected: "disable or prefer",
                    });
                }
            }
            "sslcompression" => {
                if value != "0" {
                    return Err(UrlError::Value { option: "sslcompression", expected: "0" });
                }
            }
            "sslsni" => {
                if value != "1" {
                    return Err(UrlError::Value { option: "sslsni", expected: "1" });
                }
            }
            "keepalives_idle" => {
                self.keepalives_idle = true;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Used unless the connection string says otherwise.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVES_RETRIES: u32 = 3;

/// The options that the driver reads.
const DRIVER_OPTIONS: [&str; 18] = [
    "user",
    "password",
    "dbname",
    "options",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "channel_binding",
    "load_balance_hosts",
    "application_name",
    "target_session_attrs",
];

fn check_known(key: &str) -> Result<(), UrlError> {
    if DRIVER_OPTIONS.contains(&key) {
        return Ok(());
    }
    // Anything else than a plain word may be a piece of a password.
    if key.len() <= 40 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        Err(UrlError::UnknownOption(key.to_owned()))
    } else {
        Err(UrlError::Syntax(String::new()))
    }
}

impl FromStr for ConnectionString {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let mut extra = Extra::default();
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let plain =
            if is_url { split_url(text, &mut extra)? } else { split_words(text, &mut extra)? };
        // The driver's text names the option, never its value.
        let mut config = Config::from_str(&plain).map_err(|error| {
            let cause = std::error::Error::source(&error);
            UrlError::Syntax(cause.map(|cause| format!(" ({cause})")).unwrap_or_default())
        })?;
        finish(&mut config, extra)
    }
}

fn finish(config: &mut Config, extra: Extra) -> Result<ConnectionString, UrlError> {
    let Extra {
        mut ssl,
        application_name,
        fallback_application_name,
        target,
        pooled,
        keepalives_idle,
    } = extra;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(UrlError::NoHost);
    }
    let (names, addresses) = (config.get_hosts().len(), config.get_hostaddrs().len());
    if names > 0 && addresses > 0 && names != addresses {
        return Err(UrlError::Value { option: "hostaddr", expected: "as many as there are hosts" });
    }
    if config.get_ports().len() > 1 && config.get_ports().len() != names.max(addresses) {
        return Err(UrlError::Value { option: "port", expected: "one, or one for each host" });
    }
    if config.get_user().is_none() {
        return Err(UrlError::Value { option: "user", expected: "given" });
    }
    let sockets = config.get_hosts().iter().filter(|host| matches!(host, Host::Unix(_))).count();
    if sockets > 0 && sockets == config.get_hosts().len() {
        // There is no TLS over a socket file, whatever the mode says.
        ssl.mode = SslMode::Disable;
    }
    if ssl.root == Some(RootCert::System) && ssl.mode != SslMode::VerifyFull {
        if matches!(ssl.mode, SslMode::Disable) && sockets == 0 {
            return Err(UrlError::Value {
                option: "sslmode",
                expected: "verify-full when sslrootcert is system",
            });
        }
        if sockets == 0 {
            ssl.mode = SslMode::VerifyFull;
        }
    }
    if ssl.mode == SslMode::Require && ssl.root.is_some() {
        // As libpq does, for old strings that mean it.
        ssl.mode = SslMode::VerifyCa;
    }
    if ssl.cert.is_some() != ssl.key.is_some() {
        return Err(UrlError::Value { option: "sslkey", expected: "given together with sslcert" });
    }
    config.ssl_mode(match ssl.mode {
        SslMode::Disable | SslMode::Allow => DriverMode::Disable,
        SslMode::Prefer => DriverMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => DriverMode::Require,
    });
    if config.get_ssl_negotiation() == SslNegotiation::Direct
        && config.get_ssl_mode() != DriverMode::Require
    {
        return Err(UrlError::Value {
            option: "sslmode",
            expected: "require, verify-ca or verify-full when sslnegotiation is direct",
        });
    }
    let mut prefer_standby = false;
    let target = match target.as_deref() {
        None | Some("any") => TargetSessionAttrs::Any,
        Some("read-write" | "primary") => TargetSessionAttrs::ReadWrite,
        Some("read-only" | "standby") => TargetSessionAttrs::ReadOnly,
        Some("prefer-standby") => {
            prefer_standby = true;
            TargetSessionAttrs::ReadOnly
        }
        Some(_) => {
            return Err(UrlError::Value {
                option: "target_session_attrs",
                expected: "any, read-write, read-only, primary, standby or prefer-standby",
            });
        }
    };
    config.target_session_attrs(target);
    // A server that went away without a word is noticed in a minute and a half.
    if !keepalives_idle {
        config.keepalives_idle(KEEPALIVES_IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVES_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVES_RETRIES);
    }
    config.application_name(
        application_name.or(fallback_application_name).unwrap_or_else(|| "ringfence".to_owned()),
    );
    Ok(ConnectionString { config: config.clone(), ssl, prefer_standby, pooled })
}

/// Splits a URL; returns it without the options taken by [`Extra`].
fn split_url(text: &str, extra: &mut Extra) -> Result<String, UrlError> {
    let Some((base, query)) = text.split_once('?') else { return Ok(text.to_owned()) };
    let mut rest = String::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = percent_decode(value)?;
        if !extra.take(key, &decoded)? {
            // An unescaped `?` in a password would make the rest of it an option.
            check_known(key).map_err(|error| match query.contains('@') {
                true => UrlError::Syntax(String::new()),
                false => error,
            })?;
            rest.push(if rest.is_empty() { '?' } else { '&' });
            rest.push_str(pair);
        }
    }
    Ok(format!("{base}{rest}"))
}

fn percent_decode(text: &str) -> Result<String, UrlError> {
    let syntax = || UrlError::Syntax(String::new());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
            let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                return Err(syntax());
            };
            bytes.push(u8::try_from(high * 16 + low).map_err(|_| syntax())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| syntax())
}

/// Splits `key = 'value'` words; returns them without those taken by [`Extra`].
fn split_words(text: &str, extra: &mut Extra) -> Result<String, UrlError> {
    let syntax = || UrlError::Syntax(String::new());
    let mut rest = String::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(rest);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| !c.is_whitespace() && *c != '=') {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err(syntax());
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut value = String::new();
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut closed = !quoted;
        while let Some(c) = chars.next_if(|c| quoted || !c.is_whitespace()) {
            match c {
                '\\' => value.push(chars.next().ok_or_else(syntax)?),
                '\'' if quoted => {
                    closed = true;
                    break;
                }
                c => value.push(c),
            }
        }
        if !closed {
            return Err(syntax());
        }
        if !extra.take(&key, &value)? {
            check_known(&key)?;
            rest.push_str(&key);
            rest.push_str("='");
            rest.push_str(&value.replace('\\', "\\\\").replace('\'', "\\'"));
            rest.push_str("' ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConnectionString, UrlError> {
        text.parse()
    }

    #[test]
    fn strings_as_hosts_print_them() {
        for (text, shown, mode) in [
            ("postgres://u:p@h/d", "u@h:5432/d", SslMode::Prefer),
            (
                "postgresql://u:p%40ss@ep-x.eu.example/db?sslmode=require&channel_binding=require",
                "u@ep-x.eu.example:5432/db",
                SslMode::Require,
            ),
            (
                "postgres://u:p@a:1,b:2/db?target_session_attrs=primary",
                "u@a:1,b:2/db",
                SslMode::Prefer,
            ),
            (
                "host=srv.example port=5433 dbname=d user='u@srv' password='a b\\'c' sslmode=verify-full",
                "u@srv@srv.example:5433/d",
                SslMode::VerifyFull,
            ),
            ("postgresql://u:p@/d?host=/run/sql", "u@/run/sql:5432/d", SslMode::Disable),
            ("host=/tmp user=u dbname=d sslmode=require", "u@/tmp:5432/d", SslMode::Disable),
            ("postgres://u@h/d?sslrootcert=system", "u@h:5432/d", SslMode::VerifyFull),
            (
                "postgres://u@h/d?sslmode=require&sslrootcert=/ca.pem",
                "u@h:5432/d",
                SslMode::VerifyCa,
            ),
            (
                "postgres://u@h/d?ssl=true&sslsni=1&gssencmode=prefer",
                "u@h:5432/d",
                SslMode::Require,
            ),
            (
                "postgres://u@[::1]:5432/d?options=-c%20geqo%3Doff&connect_timeout=3",
                "u@::1:5432/d",
                SslMode::Prefer,
            ),
        ] {
            let url = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.to_string().as_str(), url.ssl.mode), (shown, mode), "{text}");
        }
        assert!(parse("postgres://u@h/d?pgbouncer=true").expect("known").pooled);
        assert_eq!(
            parse("postgres://u:p@h/d?password=q").expect("known").config.get_password(),
            Some(b"q".as_slice())
        );
    }

    #[test]
    fn faults_are_named() {
        for (text, part) in [
            ("postgres://u:secret@h/d?sslmod=require", "`sslmod`"),
            ("host=h user=u password=secret krbsrvname=x", "`krbsrvname`"),
            ("postgres://u:secret@h/d?sslmode=full", "`sslmode` must be disable"),
            ("postgres://u:secret@h/d?target_session_attrs=x", "`target_session_attrs`"),
            ("postgres://u:secret@h/d?client_encoding=latin1", "`client_encoding` must be UTF8"),
            ("postgres://u:secret@h/d?sslcert=/c.pem", "`sslkey`"),
            ("host=a,b hostaddr=10.0.0.1 user=u", "`hostaddr` must be as many"),
            ("host=a,b,c port=1,2 user=u", "`port` must be one"),
            ("postgres://u:secret@h:port/d", "port"),
            ("dbname=d user=u password=secret", "no host"),
            ("host=h password='secret", "cannot be read"),
            ("postgres://u:sec?SECRET@h/d", "percent-encoded"),
            ("postgres://u:sec?secret=x@h/d", "percent-encoded"),
            ("mysql://u:secret@h/d", "cannot be read"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.to_lowercase().contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn silent_connections_are_asked_for_a_sign_of_life() {
        let keepalives = |text: &str| {
            let config = parse(text).expect("known").config;
            let interval = config.get_keepalives_interval().expect("set").as_secs();
            (config.get_keepalives_idle().as_secs(), interval, config.get_keepalives_retries())
        };
        assert_eq!(keepalives("postgres://u@h/d"), (60, 10, Some(3)));
        let given = "host=h user=u keepalives_idle=7200 keepalives_interval=5 keepalives_retries=9";
        assert_eq!(keepalives(given), (7200, 5, Some(9)));
    }

    #[test]
    fn another_login_keeps_the_database() {
        let url = parse("postgres://u:p@h?sslmode=disable").expect("valid");
        let other = url.with_login("v", "q");
        assert_eq!((other.user(), other.database()), (Some("v"), Some("u")));
        assert!(!format!("{other:?}").contains('q'));
    }
}
