//! `docs/CONFIG.md`, written from the tables of settings.

use super::{OTHER_VARIABLES, SECTIONS};

const HEAD: &str = "# Configuration

Every setting has one key. Its value is taken from the last of these that gives one:

1. the default;
2. the file: `--config PATH`, else `RINGFENCE_CONFIG`, else `ringfence.toml` in the working folder;
3. the environment: `RINGFENCE_` and the key in capitals with `_` for `.`, then the other names listed,
   in their order (an empty variable counts as absent);
4. the command line: `--set key=value`, or the flag that a command has for it.

A secret can be read from a file: add `_FILE` to the variable, or `_file` to the key. A newline at its end is dropped.

An unknown key or `RINGFENCE_` variable stops the start; a Hasura variable that has no setting here is named in a
warning. `ringfence config check` prints every setting with its source, and `ringfence config docs` prints this page.
";

/// The page.
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    for section in SECTIONS {
        let doc: Vec<&str> = section.doc.iter().map(|line| line.trim()).collect();
        page.push_str(&format!("\n## {}\n\n{}\n", section.title, doc.join(" ")));
        for spec in section.specs {
            let default = match spec.default {
                "" => "none".to_owned(),
                default => format!("`{default}`"),
            };
            let mut names = vec![format!("`{}`", spec.env_name())];
            names.extend(spec.aliases.iter().map(|alias| format!("`{}`", alias.name)));
            let secret = if spec.secret { " (secret, `_FILE` variants)" } else { "" };
            page.push_str(&format!(
                "\n### `{}`\n\n{}\n\n- Value: {}\n- Default: {default}\n- Environment: {}{secret}\n",
                spec.key,
                spec.doc_line(),
                spec.kind,
                names.join(", "),
            ));
        }
    }
    page.push_str("\n## Other variables\n\n");
    for (name, doc) in OTHER_VARIABLES {
        page.push_str(&format!("- `{name}`: {doc}\n"));
    }
    page
}
