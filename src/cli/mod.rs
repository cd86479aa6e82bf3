//! Floor 7: the command line.
//!
//! ```text
//! args ─▶ Settings (file < environment < flags) ─▶ one file per command
//! ```
//!
//! Answers go to standard output, the log and errors to standard error. The
//! exit code is 0, or 1 for a failure or a refusing finding, or 2 for wrong usage.

mod ask;
mod config;
mod demo;
mod dev;
mod doctor;
mod error;
mod metadata;
mod migrate;
mod project;
mod serve;
mod settings;
mod token;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use error::CliError;
use settings::SettingsArgs;

const EXAMPLES: &str = "\
Examples:
  ringfence dev                          a private database with a demo, ready to try
  ringfence serve --port 8080            serve the database of DATABASE_URL
  ringfence metadata apply               put the folder ./metadata into the database
  ringfence doctor                       what would let a tenant see another's rows
  ringfence token --role user --tenant T --user U
  ringfence schema print --role user     what a role sees, as GraphQL SDL

Settings come from ringfence.toml, RINGFENCE_* and Hasura's variables, and --set;
docs/CONFIG.md lists them all.";

/// A GraphQL API over PostgreSQL in which row-level security decides what
/// leaves the database.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a private database with a demo, and serve it
    Dev(dev::DevArgs),
    /// Serve a given database
    Serve(serve::ServeArgs),
    /// Put into a database what the server needs, or take it out again
    Migrate(migrate::MigrateArgs),
    /// Find what could let a tenant see another's rows, and how to mend it
    Doctor(doctor::DoctorArgs),
    /// Metadata between a database and a folder of files
    #[command(subcommand)]
    Metadata(metadata::MetadataCommand),
    /// Show what a role sees
    #[command(subcommand)]
    Schema(ask::SchemaCommand),
    /// Show the SQL of a query, and Postgres' plan for it, without running it
    Explain(ask::ExplainArgs),
    /// Print a token for a role, signed with the configured key
    Token(token::TokenArgs),
    /// Show or check the settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the version
    Version,
    /// Print a script that completes this command line in a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Reads the command line and runs the command.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(code) => code,
        // Whoever reads our output has seen enough.
        Err(CliError::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = if matches!(error, CliError::Usage(_)) { 2 } else { 1 };
            // There is nowhere left to say that standard error is gone.
            if writeln!(io::stderr(), "ringfence: {error}").is_err() {
                return ExitCode::from(3);
            }
            ExitCode::from(code)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<ExitCode, CliError> {
    let settings = &cli.settings;
    match &cli.command {
        Command::Dev(args) => return block_on(dev::run(settings, args)),
        Command::Serve(args) => {
            decline_huge_pages();
            return block_on(serve::run(settings, args));
        }
        Command::Migrate(args) => block_on(migrate::run(settings, args))?,
        Command::Doctor(args) => return block_on(doctor::run(settings, args)),
        Command::Metadata(command) => return block_on(metadata::run(settings, command)),
        Command::Schema(command) => block_on(ask::schema(settings, command))?,
        Command::Explain(args) => block_on(ask::explain(settings, args))?,
        Command::Token(args) => token::run(settings, args)?,
        Command::Config(command) => config::run(settings, command)?,
        Command::Version => print(concat!("ringfence ", env!("CARGO_PKG_VERSION"), "\n"))?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ringfence", &mut script);
            print_bytes(&script)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The allocator asks for pages of two megabytes, of which a server fills little:
/// they double what it takes while it is idle. Child processes inherit this, so it
/// is for commands that have none.
fn decline_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages could not be declined");
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(error::io("starting the runtime"))?
        .block_on(work)
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), CliError> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(error::io("writing the output"))
}

/// Writes to standard error.
fn note(text: &str) -> Result<(), CliError> {
    writeln!(io::stderr(), "{text}").map_err(error::io("writing to standard error"))
}
