//! Finds the server binaries of an installed PostgreSQL.
//!
//! Order: the folder the user names, then the newest of: `PATH`,
//! `pg_config --bindir`, and the usual folders of packages.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::ClusterError;

/// The oldest major version that is supported.
pub const MIN_MAJOR: u32 = 14;

/// A folder with `postgres` and `initdb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub folder: PathBuf,
    pub major: u32,
}

impl Binaries {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The binaries to run: those in `named` if given, else the newest; only
/// those of `wanted` when data of that major version exists.
pub fn find(
    named: Option<&Path>,
    wanted: Option<(u32, PathBuf)>,
) -> Result<Binaries, ClusterError> {
    let named = named.map(Path::to_path_buf).or_else(|| {
        env::var_os("RINGFENCE_PG_BIN").filter(|value| !value.is_empty()).map(PathBuf::from)
    });
    let found = match named {
        Some(folder) => match inspect(&folder) {
            Ok(binaries) if binaries.major >= MIN_MAJOR => vec![binaries],
            Ok(binaries) => {
                let why = format!("version {} is older than {MIN_MAJOR}", binaries.major);
                return Err(ClusterError::BadFolder { folder, why });
            }
            Err(why) => return Err(ClusterError::BadFolder { folder, why }),
        },
        None => candidates().iter().filter_map(|folder| inspect(folder).ok()).collect(),
    };
    let versions = || {
        let mut majors: Vec<String> = found.iter().map(|b| b.major.to_string()).collect();
        majors.dedup();
        majors.join(", ")
    };
    match wanted {
        Some((major, folder)) => {
            found.iter().find(|binaries| binaries.major == major).cloned().ok_or_else(|| {
                ClusterError::OtherMajor { folder, wanted: major, found: versions() }
            })
        }
        None => found
            .iter()
            .filter(|binaries| binaries.major >= MIN_MAJOR)
            .max_by_key(|binaries| binaries.major)
            .cloned()
            .ok_or_else(|| ClusterError::NotFound {
                min: MIN_MAJOR,
                install: install_line(),
                found: if found.is_empty() {
                    String::new()
                } else {
                    format!(" Found only: {}.", versions())
                },
            }),
    }
}

/// The major version of the binaries in a folder, or what is wrong with them.
fn inspect(folder: &Path) -> Result<Binaries, String> {
    for name in ["postgres", "initdb"] {
        if !folder.join(name).is_file() {
            return Err(format!("there is no `{name}`"));
        }
    }
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .map_err(|error| format!("`postgres --version` does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    major_of(&text)
        .map(|major| Binaries { folder: folder.to_path_buf(), major })
        .ok_or_else(|| format!("`postgres --version` says \"{}\"", text.trim()))
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `… 18beta1`
fn major_of(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("(PostgreSQL) ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    // Folder, beginning of the names in it, and what lies below those.
    const USUAL: [(&str, &str, &str); 10] = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/usr/lib", "postgresql", "bin"),
        ("/usr/libexec", "postgresql", ""),
        ("/usr/local", "pgsql", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
        ("/opt", "postgresql", "bin"),
    ];
    for (parent, prefix, below) in USUAL {
        // A folder that cannot be listed holds nothing that could be run.
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                folders.push(entry.path().join(below));
            }
        }
    }
    folders.retain(|folder| folder.is_absolute());
    folders.sort();
    folders.dedup();
    folders
}

/// The command that installs a server on this system.
pub fn install_line() -> String {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17".to_owned();
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let ids: String = release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .collect::<Vec<_>>()
        .join(" ")
        .replace('"', "");
    let has = |name: &str| ids.split_whitespace().any(|id| id == name);
    if has("fedora") || has("rhel") || has("centos") {
        "sudo dnf install postgresql-server postgresql-contrib"
    } else if has("arch") {
        "sudo pacman -S postgresql"
    } else if has("alpine") {
        "apk add postgresql postgresql-contrib"
    } else if has("suse") || has("opensuse") {
        "sudo zypper install postgresql-server postgresql-contrib"
    } else {
        "sudo apt-get install postgresql"
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn a_named_folder_without_binaries_is_refused() {
        let folder = env::temp_dir();
        let error = find(Some(&folder), None).expect_err("nothing there").to_string();
        assert!(error.contains("there is no `postgres`"), "{error}");
    }
}
