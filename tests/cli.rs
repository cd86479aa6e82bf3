//! The command line as a user meets it: help, settings, tokens, exit codes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder that only this test uses.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("target/tmp is writable");
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("is writable");
    }

    /// Runs the binary with nothing of this process's environment.
    fn run(&self, env: &[(&str, &str)], args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .current_dir(&self.0)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(env.iter().copied())
            .args(args)
            .output()
            .expect("the binary runs")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn help_names_every_command_and_shows_examples() {
    let folder = Folder::new("help");
    let help = stdout(&folder.run(&[], &["--help"]));
    for word in ["token", "config", "completions", "Examples:", "--config", "--set"] {
        assert!(help.contains(word), "{word}\n{help}");
    }
    assert!(stdout(&folder.run(&[], &["version"])).starts_with("ringfence "));
    assert!(stdout(&folder.run(&[], &["completions", "bash"])).contains("_ringfence"));
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = Folder::new("usage");
    assert_eq!(folder.run(&[], &["no-such-command"]).status.code(), Some(2));
    let output = folder.run(&[], &["--set", "server.port", "config", "check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("expected KEY=VALUE"));
}

#[test]
fn the_check_shows_values_and_sources_but_no_secrets() {
    let folder = Folder::new("check");
    folder.write("ringfence.toml", "[limits]\ndepth = 20\n");
    let env = [("HASURA_GRAPHQL_ADMIN_SECRET", "hush"), ("HASURA_GRAPHQL_PG_STRIPES", "2")];
    let output = folder.run(&env, &["config", "check", "--set", "server.port=99"]);
    let shown = stdout(&output);
    let line = |key: &str| {
        let found = shown.lines().find(|line| line.split_whitespace().next() == Some(key));
        found.unwrap_or_default().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("limits.depth"), "20 (ringfence.toml)");
    assert_eq!(line("server.port"), "99 (--set server.port)");
    assert_eq!(line("auth.admin_secret"), "*** (HASURA_GRAPHQL_ADMIN_SECRET)");
    assert!(shown.contains("warning: HASURA_GRAPHQL_PG_STRIPES has no effect"));
    assert!(!shown.contains("hush"));
    let json = stdout(&folder.run(&env, &["config", "check", "--json"]));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert!(json["settings"].as_array().is_some_and(|settings| settings.len() > 20));
}

#[test]
fn every_problem_of_the_settings_is_named_with_its_source() {
    let folder = Folder::new("problems");
    folder.write("ringfence.toml", "[server]\nport = 99999\n[limit]\ndepth = 1\n");
    let output = folder.run(&[("RINGFENCE_LOG_LEVL", "info")], &["config", "check"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    for part in [
        "server.port (from ringfence.toml): expected a whole number from 0 to 65535, got \"99999\"",
        "limit (from ringfence.toml): there is no such setting",
        "RINGFENCE_LOG_LEVL: there is no such setting; the nearest is RINGFENCE_LOG_LEVEL",
    ] {
        assert!(errors.contains(part), "{part}\n{errors}");
    }
    let missing = folder.run(&[], &["--config", "nowhere.toml", "config", "check"]);
    assert!(text(&missing.stderr).contains("nowhere.toml: cannot be read"));
    let jwt = r#"{"type":"HS256"}"#;
    let folder = Folder::new("jwt");
    let output = folder.run(&[("HASURA_GRAPHQL_JWT_SECRET", jwt)], &["config", "check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("auth.jwt: issuer 0: `key` and `jwk_url` are both missing")
    );
}

#[test]
fn tokens_are_signed_with_the_configured_key() {
    let folder = Folder::new("token");
    let jwt = format!(r#"{{"type":"HS384","key":"{KEY}{KEY}","audience":["app"],"issuer":"us"}}"#);
    let env = [("HASURA_GRAPHQL_JWT_SECRET", jwt.as_str())];
    let args = [
        "token",
        "--role",
        "user",
        "--role",
        "editor",
        "--tenant",
        "t",
        "--user",
        "u",
        "--claim",
        "x-hasura-org=7",
    ];
    let token = stdout(&folder.run(&env, &args));
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS384);
    validation.set_audience(&["app"]);
    validation.set_issuer(&["us"]);
    let key = jsonwebtoken::DecodingKey::from_secret(format!("{KEY}{KEY}").as_bytes());
    let claims =
        jsonwebtoken::decode::<Value>(token.trim(), &key, &validation).expect("verifies").claims;
    let variables = &claims["https://hasura.io/jwt/claims"];
    assert_eq!(variables["x-hasura-default-role"], "user");
    assert_eq!(variables["x-hasura-allowed-roles"], serde_json::json!(["user", "editor"]));
    assert_eq!(variables["x-hasura-tenant-id"], "t");
    assert_eq!(variables["x-hasura-user-id"], "u");
    assert_eq!(variables["x-hasura-org"], "7");

    let without = folder.run(&[], &["token", "--role", "user"]);
    assert_eq!(without.status.code(), Some(2));
    assert!(text(&without.stderr).contains("no key to sign with"));
    let output = folder.run(&env, &["token", "--role", "user", "--expires", "soon"]);
    assert!(text(&output.stderr).contains("--expires: expected a duration"));
}
