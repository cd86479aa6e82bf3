//! `ringfence serve`: the server over a given database.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::settings::{SettingsArgs, flag};
use super::{CliError, error};
use crate::app::App;
use crate::config::{Config, Flag};
use crate::console::DevToken;
use crate::telemetry::logging;

/// Where to listen.
#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Address to listen on [default: server.host]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on, 0 for a free one [default: server.port]
    #[arg(long, short)]
    port: Option<String>,
}

impl ListenArgs {
    pub(super) fn flags(&self) -> Vec<Flag> {
        let host = self.host.iter().map(|host| flag("--host", "server.host", host));
        host.chain(self.port.iter().map(|port| flag("--port", "server.port", port))).collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    listen: ListenArgs,
    /// The database [default: database.url, or DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

pub(super) async fn run(settings: &SettingsArgs, args: &ServeArgs) -> Result<ExitCode, CliError> {
    let mut flags = args.listen.flags();
    flags.extend(args.database_url.iter().map(|url| flag("--database-url", "database.url", url)));
    let config = settings.load(flags)?;
    let _log = logging::init(&config.log)?;
    let stop = stop_on_signals()?;
    run_server(config, Vec::new(), stop, |address| {
        tracing::info!(%address, "ready");
        Ok(())
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// Serves until `stop`; `ready` is called once connections are accepted.
pub(super) async fn run_server(
    config: Config,
    tokens: Vec<DevToken>,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let started = tokio::select! {
        started = App::start(config) => started?,
        () = stop.cancelled() => return Ok(()),
    };
    let serving = started.serve(stop.clone(), tokens).await?;
    let told = ready(serving.address);
    if told.is_err() {
        stop.cancel();
    }
    serving.finished().await;
    told
}

/// A signal this soon after the first is the same one.
const ECHO: Duration = Duration::from_secs(1);

/// Cancelled by Ctrl-C, SIGTERM or the end of the terminal; a second signal
/// ends the process at once.
pub(super) fn stop_on_signals() -> Result<CancellationToken, CliError> {
    let listen = |kind| signal(kind).map_err(error::io("listening for signals"));
    let mut signals = vec![listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?];
    if !hangup_is_ignored() {
        signals.push(listen(SignalKind::hangup())?);
    }
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        one_of(&mut signals).await;
        token.cancel();
        let first = Instant::now();
        loop {
            one_of(&mut signals).await;
            // `timeout` and some shells send one signal to us and to our group.
            if first.elapsed() > ECHO {
                std::process::exit(130);
            }
        }
    });
    Ok(stop)
}

async fn one_of(signals: &mut [Signal]) {
    futures_util::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv())))
        .await;
}

/// Under `nohup` the end of the terminal is to be survived. Told by Linux only.
fn hangup_is_ignored() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
