//! Dependencies point down the floors that `src/lib.rs` draws, and libraries
//! are named only where they belong.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Libraries, and the modules that may name them.
const LIBRARIES: [(&str, &[&str]); 5] = [
    ("axum", &["main", "cli", "app", "transport", "console"]),
    ("tokio_postgres", &["pg"]),
    ("deadpool", &["pg"]),
    ("deadpool_postgres", &["pg"]),
    ("redis", &["response_cache"]),
];

/// At most this many files name async-graphql.
const ASYNC_GRAPHQL_FILES: usize = 3;

struct Source {
    /// The top-level module.
    module: String,
    path: PathBuf,
    /// Without comments and without the tests at the end.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root().join("src")).expect("is below src");
                let first = below.components().next().expect("is not empty");
                let module = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
                let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
                if module != "lib" && !is_test {
                    let text = fs::read_to_string(&path).expect("is UTF-8");
                    found.push(Source { module, code: code_of(&text), path: below.to_path_buf() });
                }
            }
        }
    }
    assert!(found.len() > 20, "the sources are found");
    found
}

fn code_of(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines = text.lines().map(|line| match line.trim_start() {
        comment if comment.starts_with("//") => "",
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Module to floor, as the picture in `src/lib.rs` has it.
fn floors() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("is readable");
    let mut modules: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    modules.insert("main");
    let mut floors = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let Some((number, rest)) = line.split_once("  ") else { continue };
        let Ok(floor) = number.parse::<u32>() else { continue };
        for name in rest.split("  ").flat_map(|cell| cell.split("─▶")).map(str::trim) {
            if modules.contains(name) {
                floors.insert(name.to_owned(), floor);
            }
        }
    }
    for module in modules {
        assert!(floors.contains_key(module), "src/lib.rs does not draw the module {module}");
    }
    floors
}

/// The modules that follow `crate::` (or the library's name in `main`), also
/// in braces.
fn uses(source: &Source) -> BTreeSet<String> {
    let prefix = if source.module == "main" { "ringfence::" } else { "crate::" };
    let mut found = BTreeSet::new();
    for (at, _) in source.code.match_indices(prefix) {
        let before = source.code.get(..at).and_then(|text| text.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = source.code.get(at + prefix.len()..).unwrap_or_default();
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.extend(word(rest)),
        }
    }
    found
}

/// The first words of the items of `{a, b::{c, d}, e}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.extend(word(std::mem::take(&mut item).trim())),
            c if depth == 0 => item.push(c),
            _ => {}
        }
    }
    heads.extend(word(item.trim()));
    heads
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

fn names(code: &str, library: &str) -> bool {
    code.match_indices(library).any(|(at, _)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        let after = code.get(at + library.len()..).unwrap_or_default();
        let starts = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        starts && (after.starts_with("::") || after.starts_with(';') || after.starts_with(" as "))
    })
}

#[test]
fn dependencies_point_down() {
    let floors = floors();
    let mut wrong = Vec::new();
    let mut beside: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let sources = sources();
    for source in &sources {
        let Some(own) = floors.get(&source.module) else {
            panic!("src/lib.rs does not draw {}", source.path.display());
        };
        for used in uses(source) {
            match floors.get(&used) {
                Some(floor) if floor > own => {
                    wrong.push(format!("{} uses crate::{used} above it", source.path.display()));
                }
                Some(floor) if floor == own && used != source.module => {
                    beside.entry(&source.module).or_default().insert(used);
                }
                _ => {}
            }
        }
        let depth = source.path.components().count()
            - usize::from(source.path.file_name().is_some_and(|name| name == "mod.rs"));
        if source.code.contains(&"super::".repeat(depth)) {
            wrong.push(format!(
                "{} leaves its module by super::; name it by crate::",
                source.path.display()
            ));
        }
    }
    for (module, used) in &beside {
        for other in used {
            if beside.get(other.as_str()).is_some_and(|back| back.contains(*module)) {
                wrong.push(format!("{module} and {other} use each other"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_where_they_belong() {
    let mut wrong = Vec::new();
    let sources = sources();
    for (library, modules) in LIBRARIES {
        for source in &sources {
            if names(&source.code, library) && !modules.contains(&source.module.as_str()) {
                wrong.push(format!("{} names {library}", source.path.display()));
            }
        }
    }
    let with: Vec<String> = sources
        .iter()
        .filter(|source| names(&source.code, "async_graphql"))
        .map(|source| source.path.display().to_string())
        .collect();
    if with.len() > ASYNC_GRAPHQL_FILES {
        wrong.push(format!("too many files name async_graphql: {}", with.join(", ")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_paths_sees_groups() {
    let source = Source {
        module: "engine".to_owned(),
        path: PathBuf::new(),
        code: "use crate::{base::{Code, ApiError}, pg::Pg, plan};\nlet x = crate::sql::ident(y);"
            .to_owned(),
    };
    assert_eq!(uses(&source).into_iter().collect::<Vec<_>>(), ["base", "pg", "plan", "sql"]);
    assert!(names("use axum::Router;", "axum"));
    assert!(!names("use tower_axum::Router;", "axum"));
}
