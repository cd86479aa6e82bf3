//! Where values come from, and the search through the sources.
//!
//! ```text
//! default  <  file  <  environment (RINGFENCE_*, then other names)  <  flags
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::hasura;
use super::setting::{Check, Setting, Spec};

/// The file that is read from the working folder when none is named.
pub const FILE_NAME: &str = "ringfence.toml";

/// Variables that are read outside the table of settings.
pub const OTHER_VARIABLES: [(&str, &str); 2] = [
    ("RINGFENCE_CONFIG", "The configuration file, as `--config`."),
    ("RINGFENCE_PG_BIN", "The folder of the Postgres server binaries that `ringfence dev` runs."),
];

/// Everything that settings are read from.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// The path as shown in messages, and the text.
    pub file: Option<(PathBuf, String)>,
    pub env: BTreeMap<String, String>,
    /// Keys and values from the command line, with the flag as it was given.
    pub flags: Vec<Flag>,
}

/// A setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    pub key: String,
    pub value: String,
    /// `--port`, `--set server.port`
    pub shown: String,
}

impl Sources {
    /// The process's environment and the file: `path`, else `RINGFENCE_CONFIG`,
    /// else `ringfence.toml` in the working folder if there is one.
    pub fn from_process(path: Option<&Path>, flags: Vec<Flag>) -> Result<Self, ConfigError> {
        let mut env = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    env.insert(name, value);
                }
                Err(_) if name.starts_with("RINGFENCE_") || name.starts_with(hasura::PREFIX) => {
                    problems.push(Problem::new(name, "the value is not valid UTF-8"));
                }
                Err(_) => {}
            }
        }
        let named = path
            .map(Path::to_path_buf)
            .or_else(|| env.get("RINGFENCE_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from));
        let file =
            match (&named, std::fs::read_to_string(named.as_deref().unwrap_or(FILE_NAME.as_ref())))
            {
                (_, Ok(text)) => Some((named.unwrap_or_else(|| PathBuf::from(FILE_NAME)), text)),
                (None, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
                (named, Err(error)) => {
                    let path = named.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME));
                    problems.push(Problem::new(
                        path.display().to_string(),
                        format!("cannot be read: {error}"),
                    ));
                    None
                }
            };
        if problems.is_empty() {
            Ok(Sources { file, env, flags })
        } else {
            Err(ConfigError { problems })
        }
    }
}

/// One setting as it was resolved.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub key: &'static str,
    /// The value; `***` for a secret.
    pub value: String,
    /// `default`, a variable, a flag, or the file.
    pub source: String,
}

/// Looks settings up and gathers what is wrong.
pub(super) struct Resolver<'a> {
    sources: &'a Sources,
    table: toml::Table,
    file_name: String,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) resolved: Vec<Resolved>,
}

/// A value before it is parsed.
enum Raw {
    Text(String),
    Toml(toml::Value),
}

impl<'a> Resolver<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        let mut resolver = Resolver {
            sources,
            table: toml::Table::new(),
            file_name: String::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            resolved: Vec::new(),
        };
        if let Some((path, text)) = &sources.file {
            resolver.file_name = path.display().to_string();
            match text.parse::<toml::Table>() {
                Ok(table) => resolver.table = table,
                Err(error) => {
                    // The error's own text quotes the line, which may hold a secret.
                    let place = error.span().map_or_else(String::new, |span| {
                        let before = text.get(..span.start).unwrap_or(text);
                        format!("line {}: ", before.matches('\n').count() + 1)
                    });
                    let message = format!("{place}{}", error.message());
                    resolver.problems.push(Problem::new(resolver.file_name.clone(), message));
                }
            }
        }
        resolver
    }

    /// The value of a setting, or `None` with a problem recorded.
    pub(super) fn get<T: Setting>(
        &mut self,
        spec: &'static Spec,
        check: Option<Check<T>>,
    ) -> Option<T> {
        let (raw, source) = match self.find(spec) {
            Ok(Some(found)) => found,
            Ok(None) => (Raw::Text(spec.default.to_owned()), "default".to_owned()),
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        let value = match raw {
            Raw::Text(text) => T::parse(&text),
            Raw::Toml(value) => T::from_toml(&value),
        }
        .and_then(|value| match check {
            Some(check) => check(&value).map(|()| value),
            None => Ok(value),
        });
        match value {
            Ok(value) => {
                self.resolved.push(Resolved { key: spec.key, value: value.show(), source });
                Some(value)
            }
            Err(message) => {
                self.problems.push(Problem::new(format!("{} (from {source})", spec.key), message));
                None
            }
        }
    }

    fn find(&mut self, spec: &'static Spec) -> Result<Option<(Raw, String)>, Problem> {
        let sources = self.sources;
        if let Some(flag) = sources.flags.iter().rev().find(|flag| flag.key == spec.key) {
            return Ok(Some((Raw::Text(flag.value.clone()), flag.shown.clone())));
        }
        if let Some((text, source)) = self.find_env(spec)? {
            return Ok(Some((Raw::Text(text), source)));
        }
        if let Some(value) = lookup(&self.table, spec.key) {
            return Ok(Some((Raw::Toml(value.clone()), self.file_name.clone())));
        }
        let file_key = format!("{}_file", spec.key);
        match lookup(&self.table, &file_key) {
            Some(toml::Value::String(path)) if spec.secret => {
                let text = read_secret(path).map_err(|message| {
                    Problem::new(format!("{file_key} (from {})", self.file_name), message)
                })?;
                Ok(Some((Raw::Text(text), format!("{path} ({})", self.file_name))))
            }
            _ => Ok(None),
        }
    }

    /// Our own name first, then the others in their order; an empty variable
    /// counts as absent, since compose files pass those on.
    fn find_env(&mut self, spec: &'static Spec) -> Result<Option<(String, String)>, Problem> {
        let own = spec.env_name();
        let names = std::iter::once((own.as_str(), None))
            .chain(spec.aliases.iter().map(|alias| (alias.name, Some(alias.convert))));
        let mut found: Option<(String, String)> = None;
        for (name, convert) in names {
            let Some((text, source)) = self.read_variable(name, spec.secret)? else { continue };
            let text = match convert {
                Some(convert) => convert(&text).map_err(|message| {
                    Problem::new(format!("{} (from {source})", spec.key), message)
                })?,
                None => text,
            };
            match &found {
                None => found = Some((text, source)),
                Some((other, used)) if *other != text => {
                    self.warnings
                        .push(format!("{source} is ignored: {used} sets the same setting"));
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }

    fn read_variable(&self, name: &str, secret: bool) -> Result<Option<(String, String)>, Problem> {
        let get = |name: &str| {
            let value = self.sources.env.get(name).filter(|value| !value.is_empty())?;
            (!is_service_link(name, value)).then_some(value)
        };
        let file_name = format!("{name}_FILE");
        match (get(name), get(&file_name).filter(|_| secret)) {
            (Some(_), Some(_)) => {
                Err(Problem::new(file_name, format!("set either this or {name}, not both")))
            }
            (Some(value), None) => Ok(Some((value.clone(), name.to_owned()))),
            (None, Some(path)) => match read_secret(path) {
                Ok(text) => Ok(Some((text, file_name))),
                Err(message) => Err(Problem::new(file_name, message)),
            },
            (None, None) => Ok(None),
        }
    }

    /// Records keys of the file, variables and flags that name no setting.
    pub(super) fn reject_unknown(&mut self, specs: &[&'static Spec]) {
        let mut keys = Vec::new();
        collect_keys("", &self.table, specs, &mut keys);
        for key in keys {
            let message = unknown(&key, specs.iter().map(|spec| spec.key.to_owned()));
            self.problems.push(Problem::new(format!("{key} (from {})", self.file_name), message));
        }
        for flag in &self.sources.flags {
            if !specs.iter().any(|spec| spec.key == flag.key) {
                let message = unknown(&flag.key, specs.iter().map(|spec| spec.key.to_owned()));
                self.problems.push(Problem::new(flag.shown.clone(), message));
            }
        }
        let mut names: Vec<String> = Vec::new();
        for spec in specs {
            for name in std::iter::once(spec.env_name())
                .chain(spec.aliases.iter().map(|alias| alias.name.to_owned()))
            {
                if spec.secret {
                    names.push(format!("{name}_FILE"));
                }
                names.push(name);
            }
        }
        names.extend(OTHER_VARIABLES.iter().map(|(name, _)| (*name).to_owned()));
        for (name, value) in self.sources.env.iter().filter(|(name, _)| !names.contains(name)) {
            if is_service_link(name, value) {
                continue;
            }
            if name.starts_with("RINGFENCE_") {
                let known = names.iter().filter(|n| n.starts_with("RINGFENCE_")).cloned();
                self.problems.push(Problem::new(name.clone(), unknown(name, known)));
            } else if name.starts_with(hasura::PREFIX) {
                self.warnings.push(hasura::warning(name));
            }
        }
    }
}

/// Whether Kubernetes sets the variable in every pod beside a service whose
/// name begins with `ringfence`: `RINGFENCE_PORT=tcp://10.0.0.1:8080`,
/// `RINGFENCE_SERVICE_HOST`, `RINGFENCE_PORT_8080_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || (name.contains("_PORT_") && ["_TCP", "_UDP", "_SCTP"].iter().any(|p| name.contains(p)))
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known
        .map(|candidate| (strsim::damerau_levenshtein(name, &candidate), candidate))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, candidate)) => format!("there is no such setting; the nearest is {candidate}"),
        None => "there is no such setting".to_owned(),
    }
}

fn lookup<'t>(table: &'t toml::Table, key: &str) -> Option<&'t toml::Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((head, rest)) => lookup(table.get(head)?.as_table()?, rest),
    }
}

fn collect_keys(
    prefix: &str,
    table: &toml::Table,
    specs: &[&'static Spec],
    unknown: &mut Vec<String>,
) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let known = specs.iter().any(|spec| {
            spec.key == key || (spec.secret && key.strip_suffix("_file") == Some(spec.key))
        });
        if known {
            continue;
        }
        let inner = format!("{key}.");
        match value {
            toml::Value::Table(table) if specs.iter().any(|spec| spec.key.starts_with(&inner)) => {
                collect_keys(&key, table, specs, unknown);
            }
            _ => unknown.push(key),
        }
    }
}

/// A secret from a file, without the newline that editors and `echo` add.
fn read_secret(path: &str) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err(format!("{path} is empty")) } else { Ok(text.to_owned()) }
}
