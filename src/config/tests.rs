//! What a user sees of the configuration.

use std::collections::BTreeMap;

use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(text: &str) -> Option<(std::path::PathBuf, String)> {
    Some((FILE_NAME.into(), text.to_owned()))
}

fn problems(sources: &Sources) -> String {
    Config::load(sources).expect_err("must be refused").to_string()
}

#[test]
fn defaults_are_valid() {
    let loaded = Config::load(&Sources::default()).expect("defaults");
    assert_eq!(loaded.config.server.listen().to_string(), "127.0.0.1:8080");
    assert_eq!(loaded.config.schema.expose, ["public"]);
    assert!(loaded.warnings.is_empty());
    let count: usize = SECTIONS.iter().map(|section| section.specs.len()).sum();
    assert_eq!(loaded.resolved.len(), count);
}

#[test]
fn later_sources_win() {
    let mut sources = Sources {
        file: file("[server]\nport = 1\n[limits]\nbody = \"2MiB\"\n"),
        env: env(&[("PORT", "2")]),
        flags: vec![],
    };
    let config = Config::load(&sources).expect("valid").config;
    assert_eq!((config.server.port, config.limits.body.0), (2, 2 << 20));
    sources.env.insert("RINGFENCE_SERVER_PORT".to_owned(), "3".to_owned());
    let loaded = Config::load(&sources).expect("valid");
    assert_eq!(loaded.config.server.port, 3);
    assert_eq!(loaded.warnings, ["PORT is ignored: RINGFENCE_SERVER_PORT sets the same setting"]);
    sources.flags.push(Flag {
        key: "server.port".to_owned(),
        value: "4".to_owned(),
        shown: "--port".to_owned(),
    });
    assert_eq!(Config::load(&sources).expect("valid").config.server.port, 4);
}

#[test]
fn every_problem_is_listed_with_setting_and_source() {
    let text = problems(&Sources {
        file: file("[server]\nport = \"many\"\n[databse]\nurl = \"x\"\n[limits]\ndepht = 3\n"),
        env: env(&[("RINGFENCE_LIMITS_BATCH", "0"), ("RINGFENCE_SERVER_PROT", "1")]),
        flags: vec![],
    });
    for expected in [
        "server.port (from ringfence.toml): expected a whole number from 0 to 65535, got \"many\"",
        "databse (from ringfence.toml): there is no such setting; the nearest is",
        "limits.depht (from ringfence.toml): there is no such setting; the nearest is limits.depth",
        "limits.batch (from RINGFENCE_LIMITS_BATCH): must be at least 1",
        "RINGFENCE_SERVER_PROT: there is no such setting; the nearest is RINGFENCE_SERVER_PORT",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn hasura_variables_are_understood_or_named() {
    let loaded = Config::load(&Sources {
        env: env(&[
            ("HASURA_GRAPHQL_DATABASE_URL", "postgres://h/d"),
            ("HASURA_GRAPHQL_ADMIN_SECRET", "hush"),
            ("HASURA_GRAPHQL_JWT_SECRET", r#"{"type":"HS256","key":"k"}"#),
            ("HASURA_GRAPHQL_UNAUTHORIZED_ROLE", "anonymous"),
            ("HASURA_GRAPHQL_SERVER_HOST", "*"),
            ("HASURA_GRAPHQL_DISABLE_CORS", "true"),
            ("HASURA_GRAPHQL_PG_TIMEOUT", "60"),
            ("HASURA_GRAPHQL_PG_CONNECTIONS", "7"),
            ("HASURA_GRAPHQL_PG_STRIPES", "2"),
            ("HASURA_GRAPHQL_SOMETHING_NEW", "true"),
        ]),
        ..Sources::default()
    })
    .expect("valid");
    let config = &loaded.config;
    assert_eq!(config.server.host.to_string(), "0.0.0.0");
    assert!(!config.server.cors);
    assert_eq!(config.database.connection_idle_timeout.as_secs(), 60);
    assert_eq!(config.database.request_connections(), 7);
    assert_eq!(config.auth.unauthorized_role.as_deref(), Some("anonymous"));
    assert_eq!(config.auth.jwt.expose().len(), 1);
    assert_eq!(
        loaded.warnings,
        [
            "HASURA_GRAPHQL_PG_STRIPES has no effect here (pool stripes)",
            "HASURA_GRAPHQL_SOMETHING_NEW has no effect here",
        ]
    );
}

#[test]
fn variables_that_kubernetes_sets_are_not_ours() {
    let loaded = Config::load(&Sources {
        env: env(&[
            ("RINGFENCE_SERVICE_HOST", "10.0.0.1"),
            ("RINGFENCE_SERVICE_PORT", "8080"),
            ("RINGFENCE_SERVICE_PORT_HTTP", "8080"),
            ("RINGFENCE_PORT", "tcp://10.0.0.1:8080"),
            ("RINGFENCE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("RINGFENCE_PORT_8080_TCP_ADDR", "10.0.0.1"),
            // A service called ringfence-server.
            ("RINGFENCE_SERVER_PORT", "tcp://10.0.0.1:8080"),
        ]),
        ..Sources::default()
    })
    .expect("valid");
    assert_eq!(loaded.config.server.port, 8080);
}

#[test]
fn secrets_come_from_files_and_never_print() {
    let folder = std::env::temp_dir().join(format!("ringfence-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("secret");
    std::fs::write(&path, "hush hush\r\n").expect("a file");
    let path_text = path.display().to_string();
    let mut sources = Sources {
        file: file(&format!("[database]\nurl_file = {path_text:?}\n")),
        env: env(&[("HASURA_GRAPHQL_ADMIN_SECRET_FILE", &path_text)]),
        flags: vec![],
    };
    let loaded = Config::load(&sources).expect("valid");
    let secret = loaded.config.auth.admin_secret.as_ref().expect("given");
    assert_eq!(secret.expose(), "hush hush");
    let url = loaded.config.database.url.as_ref().expect("given");
    assert_eq!(url.expose(), "hush hush");
    assert!(!format!("{loaded:?}").contains("hush"));

    sources.env.insert("HASURA_GRAPHQL_ADMIN_SECRET".to_owned(), "other".to_owned());
    let text = problems(&sources);
    assert!(text.contains("set either this or HASURA_GRAPHQL_ADMIN_SECRET, not both"), "{text}");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn broken_secrets_are_not_quoted() {
    let text = problems(&Sources {
        file: file("[auth]\nadmin_secret = \"hush\n"),
        env: env(&[("HASURA_GRAPHQL_JWT_SECRET", "{hush")]),
        flags: vec![],
    });
    assert!(text.contains("ringfence.toml: line 2"), "{text}");
    assert!(text.contains("auth.jwt (from HASURA_GRAPHQL_JWT_SECRET): expected JSON"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn tables_of_the_file_are_read() {
    let config = Config::load(&Sources {
        file: file(
            "mode = \"development\"\n[roles.map]\nuser = \"app_user\"\n[auth.jwt]\ntype = \"HS256\"\nkey = \"k\"\n[schema]\nexpose = [\"public\", \"app\"]\n",
        ),
        ..Sources::default()
    })
    .expect("valid")
    .config;
    assert_eq!(config.mode(), Mode::Development);
    assert_eq!(config.roles.map.get("user").map(String::as_str), Some("app_user"));
    assert_eq!(config.schema.expose, ["public", "app"]);
    assert_eq!(config.auth.jwt.expose().len(), 1);
}

#[test]
fn documentation_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIG.md");
    let page = docs::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/CONFIG.md is writable");
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(current == page, "docs/CONFIG.md is not current; run `make docs`");
}
