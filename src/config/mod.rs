//! Floor 0: the settings.
//!
//! ```text
//! ringfence.toml ┐
//! environment    ├▶ Sources ─▶ source::Resolver ─▶ Config, warnings, where each value came from
//! flags          ┘                  ▲
//!                         the tables of the section files
//! ```
//!
//! One file per section; the table in it is all there is to write for a
//! setting. `docs/CONFIG.md` is made from the same tables by [`docs::markdown`].

pub mod docs;
mod error;
mod hasura;
mod setting;
mod source;
pub mod value;

mod actions;
mod auth;
mod cache;
mod console;
mod database;
mod general;
mod limits;
mod live;
mod log;
mod metadata;
mod roles;
mod schema;
mod server;
mod telemetry;
mod websocket;

pub use actions::ActionsConfig;
pub use auth::AuthSettings;
pub use cache::CacheConfig;
pub use console::ConsoleConfig;
pub use database::{DatabaseConfig, Pooler};
pub use error::{ConfigError, Problem};
pub use general::{GeneralConfig, Mode};
pub use limits::LimitsConfig;
pub use live::{LiveConfig, LiveManage};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use metadata::MetadataConfig;
pub use roles::RolesConfig;
pub use schema::{AutoTrack, NamingConvention, SchemaConfig};
pub use server::ServerConfig;
pub use setting::{Alias, Setting, Spec};
pub use source::{FILE_NAME, Flag, OTHER_VARIABLES, Resolved, Sources};
pub use telemetry::TelemetryConfig;
pub use websocket::WebSocketConfig;

use setting::Section;
use source::Resolver;

/// All settings, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub general: GeneralConfig,
    pub server: ServerConfig,
    pub database: DatabaseConfig,
    pub auth: AuthSettings,
    pub roles: RolesConfig,
    pub schema: SchemaConfig,
    pub limits: LimitsConfig,
    pub websocket: WebSocketConfig,
    pub live: LiveConfig,
    pub metadata: MetadataConfig,
    pub actions: ActionsConfig,
    pub cache: CacheConfig,
    pub console: ConsoleConfig,
    pub log: LogConfig,
    pub telemetry: TelemetryConfig,
}

/// A configuration with the story of how it came about.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// To be logged at start.
    pub warnings: Vec<String>,
    /// Every setting, in the order of the documentation.
    pub resolved: Vec<Resolved>,
}

/// A section as the documentation shows it.
#[derive(Debug, Clone, Copy)]
pub struct SectionDoc {
    pub title: &'static str,
    pub doc: &'static [&'static str],
    pub specs: &'static [Spec],
}

const fn section_doc<S: Section>() -> SectionDoc {
    SectionDoc { title: S::TITLE, doc: S::DOC, specs: S::SPECS }
}

/// Every section, in the order of the documentation.
pub const SECTIONS: [SectionDoc; 15] = [
    section_doc::<GeneralConfig>(),
    section_doc::<ServerConfig>(),
    section_doc::<DatabaseConfig>(),
    section_doc::<AuthSettings>(),
    section_doc::<RolesConfig>(),
    section_doc::<SchemaConfig>(),
    section_doc::<LimitsConfig>(),
    section_doc::<WebSocketConfig>(),
    section_doc::<LiveConfig>(),
    section_doc::<MetadataConfig>(),
    section_doc::<ActionsConfig>(),
    section_doc::<CacheConfig>(),
    section_doc::<ConsoleConfig>(),
    section_doc::<LogConfig>(),
    section_doc::<TelemetryConfig>(),
];

impl Config {
    /// Reads and validates all settings; the error lists every problem.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut resolver = Resolver::new(sources);
        let specs: Vec<&'static Spec> =
            SECTIONS.iter().flat_map(|section| section.specs.iter()).collect();
        resolver.reject_unknown(&specs);
        let config = resolve_all(&mut resolver);
        match config {
            Some(config) if resolver.problems.is_empty() => {
                Ok(Loaded { config, warnings: resolver.warnings, resolved: resolver.resolved })
            }
            _ => Err(ConfigError { problems: resolver.problems }),
        }
    }

    /// Settings given as `key`, `value` over the defaults, with no file and no environment.
    pub fn with(settings: &[(&str, &str)]) -> Result<Self, ConfigError> {
        let flags = settings
            .iter()
            .map(|(key, value)| Flag {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
                shown: (*key).to_owned(),
            })
            .collect();
        let sources = Sources { flags, ..Sources::default() };
        Config::load(&sources).map(|loaded| loaded.config)
    }

    pub fn mode(&self) -> Mode {
        self.general.mode
    }
}

fn resolve_all(resolver: &mut Resolver<'_>) -> Option<Config> {
    // Each section is resolved before the first `?`, so that all problems are found.
    let general = GeneralConfig::resolve(resolver);
    let server = ServerConfig::resolve(resolver);
    let database = DatabaseConfig::resolve(resolver);
    let auth = AuthSettings::resolve(resolver);
    let roles = RolesConfig::resolve(resolver);
    let schema = SchemaConfig::resolve(resolver);
    let limits = LimitsConfig::resolve(resolver);
    let websocket = WebSocketConfig::resolve(resolver);
    let live = LiveConfig::resolve(resolver);
    let metadata = MetadataConfig::resolve(resolver);
    let actions = ActionsConfig::resolve(resolver);
    let cache = CacheConfig::resolve(resolver);
    let console = ConsoleConfig::resolve(resolver);
    let log = LogConfig::resolve(resolver);
    let telemetry = TelemetryConfig::resolve(resolver);
    Some(Config {
        general: general?,
        server: server?,
        database: database?,
        auth: auth?,
        roles: roles?,
        schema: schema?,
        limits: limits?,
        websocket: websocket?,
        live: live?,
        metadata: metadata?,
        actions: actions?,
        cache: cache?,
        console: console?,
        log: log?,
        telemetry: telemetry?,
    })
}

#[cfg(test)]
mod tests;
