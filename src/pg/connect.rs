//! Opening connections as a connection string says.
//!
//! ```text
//! hosts ─▶ addresses ─▶ socket ─▶ Wire ─▶ TLS? login (the driver) ─▶ does it take writes?
//! ```
//!
//! The driver makes its own sockets, but only for itself; to stand under it
//! ([`super::wire`]), the sockets are made here, in the way that it has. The first
//! address that lets us in is taken.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rand::seq::SliceRandom;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_postgres::config::{
    Host, LoadBalanceHosts, SslMode as DriverMode, SslNegotiation, TargetSessionAttrs,
};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::error::PgError;
use super::tls::{self, TlsError};
use super::url::{ConnectionString, SslMode};
use super::wire::{TxStatus, Wire};

pub(super) type Socket = Either<TcpStream, UnixStream>;
pub(super) type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
type Encryption = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// What drives a connection.
pub(super) type Driver = tokio_postgres::Connection<Wire<Socket>, Wire<Encrypted>>;

/// A connection, and what is known of it beside the driver.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) driver: Driver,
    pub(super) status: Arc<TxStatus>,
    pub(super) canceller: Canceller,
}

/// Opens connections, trying each variant of the connection string.
pub(super) struct Connector {
    tls: MakeRustlsConnect,
    first: Config,
    /// Tried in order when the first does not connect.
    others: Vec<Config>,
}

impl Connector {
    pub(super) fn new(url: &ConnectionString, startup: &str) -> Result<Self, TlsError> {
        let tls = tls::connector(&url.ssl)?;
        let mut config = url.config.clone();
        if !startup.is_empty() {
            let options = match config.get_options() {
                Some(given) => format!("{startup} {given}"),
                None => startup.to_owned(),
            };
            config.options(options);
        }
        let mut others = Vec::new();
        if url.ssl.mode == SslMode::Allow {
            let mut with_tls = config.clone();
            with_tls.ssl_mode(DriverMode::Require);
            others.push(with_tls);
        }
        if url.prefer_standby {
            for known in std::iter::once(&config).chain(&others.clone()) {
                let mut anywhere = known.clone();
                anywhere.target_session_attrs(TargetSessionAttrs::Any);
                others.push(anywhere);
            }
        }
        Ok(Connector { tls, first: config, others })
    }

    /// Connects; the caller drives the connection.
    pub(super) async fn open(&self) -> Result<Opened, PgError> {
        let mut result = self.open_one_of(&self.first).await;
        for config in &self.others {
            if result.is_ok() {
                break;
            }
            result = self.open_one_of(config).await;
        }
        result
    }

    /// Tries the hosts, and the addresses of each.
    async fn open_one_of(&self, config: &Config) -> Result<Opened, PgError> {
        let mut last = no_host();
        for index in order(config) {
            match self.targets(config, index).await {
                Ok(targets) => {
                    for target in targets {
                        match Self::open_at(config, target).await {
                            Ok(opened) => return Ok(opened),
                            Err(error) => last = error,
                        }
                    }
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The addresses of one host.
    async fn targets(&self, config: &Config, index: usize) -> Result<Vec<Target>, PgError> {
        let (hosts, ports) = (config.get_hosts(), config.get_ports());
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        // The name that a certificate is for; a given address is connected to
        // without asking for the name's own.
        let name = match hosts.get(index) {
            Some(Host::Tcp(name)) => Some(name.as_str()),
            Some(Host::Unix(_)) | None => None,
        };
        let addresses = match (config.get_hostaddrs().get(index), hosts.get(index)) {
            (Some(address), _) => vec![Address::Tcp(*address, port)],
            (None, Some(Host::Unix(folder))) => {
                vec![Address::Unix(folder.join(format!(".s.PGSQL.{port}")))]
            }
            (None, Some(Host::Tcp(name))) => addresses_of(name, port, is_shuffled(config)).await?,
            (None, None) => Vec::new(),
        };
        let target = |address| Target {
            address,
            name: name.map(str::to_owned),
            config: config.clone(),
            tls: self.tls.clone(),
        };
        Ok(addresses.into_iter().map(target).collect())
    }

    /// A connection without a login, encrypted as the connection string says:
    /// for what the driver cannot speak.
    pub(super) async fn open_bare(&self) -> Result<Bare, PgError> {
        let mut last = no_host();
        for config in std::iter::once(&self.first).chain(&self.others) {
            for index in order(config) {
                match self.targets(config, index).await {
                    Ok(targets) => {
                        for target in targets {
                            match target.open_bare().await {
                                Ok(bare) => return Ok(bare),
                                Err(error) => last = error,
                            }
                        }
                    }
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    async fn open_at(config: &Config, target: Target) -> Result<Opened, PgError> {
        let status = Arc::new(TxStatus::default());
        let wire = Wire::new(target.connect().await?, status.clone());
        let encrypt = Encrypt(target.encryption()?);
        let (client, mut driver) = config
            .connect_raw(wire, encrypt)
            .await
            .map_err(|error| PgError::from_connect(&error))?;
        check_target(config.get_target_session_attrs(), &client, &mut driver).await?;
        let canceller = Canceller { token: client.cancel_token(), target };
        Ok(Opened { client, driver, status, canceller })
    }
}

fn no_host() -> PgError {
    PgError::Unavailable("no host is named".to_owned())
}

fn is_shuffled(config: &Config) -> bool {
    config.get_load_balance_hosts() == LoadBalanceHosts::Random
}

/// The hosts by position, in the order in which they are tried.
fn order(config: &Config) -> Vec<usize> {
    let count = config.get_hosts().len().max(config.get_hostaddrs().len());
    let mut order: Vec<usize> = (0..count).collect();
    if is_shuffled(config) {
        order.shuffle(&mut rand::rng());
    }
    order
}

/// A stream to a server on which no protocol was spoken yet.
pub(super) struct Bare {
    pub(super) stream: Either<Socket, Encrypted>,
    pub(super) config: Config,
}

/// Where a server listens.
#[derive(Debug, Clone)]
enum Address {
    Tcp(IpAddr, u16),
    Unix(PathBuf),
}

async fn addresses_of(name: &str, port: u16, shuffled: bool) -> Result<Vec<Address>, PgError> {
    let found = lookup_host((name, port)).await.map_err(|error| unreachable(&error))?;
    let mut addresses: Vec<Address> =
        found.map(|address| Address::Tcp(address.ip(), port)).collect();
    if shuffled {
        addresses.shuffle(&mut rand::rng());
    }
    if addresses.is_empty() {
        return Err(PgError::Unavailable(format!("the host {name} has no address")));
    }
    Ok(addresses)
}

fn unreachable(error: &std::io::Error) -> PgError {
    PgError::Unavailable(format!("error connecting to server: {error}"))
}

/// One server, as a connection string speaks of it.
struct Target {
    address: Address,
    /// What its certificate is made out to.
    name: Option<String>,
    config: Config,
    tls: MakeRustlsConnect,
}

impl Target {
    async fn connect(&self) -> Result<Socket, PgError> {
        let connecting = async {
            match &self.address {
                Address::Tcp(ip, port) => {
                    let stream = TcpStream::connect(SocketAddr::new(*ip, *port)).await?;
                    self.set_options(&stream)?;
                    Ok(Either::Left(stream))
                }
                Address::Unix(path) => UnixStream::connect(path).await.map(Either::Right),
            }
        };
        let connected = match self.config.get_connect_timeout() {
            None => connecting.await,
            Some(limit) => match tokio::time::timeout(*limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
            },
        };
        connected.map_err(|error| unreachable(&error))
    }

    async fn open_bare(&self) -> Result<Bare, PgError> {
        let mut socket = self.connect().await?;
        let broken = |error: std::io::Error| PgError::Unavailable(format!("TLS: {error}"));
        let mode = self.config.get_ssl_mode();
        let direct = self.config.get_ssl_negotiation() == SslNegotiation::Direct;
        let encrypted = match (&self.address, mode) {
            (Address::Unix(_), _) | (_, DriverMode::Disable) => false,
            _ if direct => true,
            _ => {
                let mut request = BytesMut::new();
                frontend::ssl_request(&mut request);
                socket.write_all(&request).await.map_err(broken)?;
                socket.read_u8().await.map_err(broken)? == b'S'
            }
        };
        if !encrypted && mode == DriverMode::Require && matches!(self.address, Address::Tcp(..)) {
            return Err(PgError::Unavailable("the server does not support TLS".to_owned()));
        }
        let stream = if encrypted {
            Either::Right(self.encryption()?.connect(socket).await.map_err(broken)?)
        } else {
            Either::Left(socket)
        };
        Ok(Bare { stream, config: self.config.clone() })
    }

    fn set_options(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(self.config.get_tcp_user_timeout().copied())?;
        if self.config.get_keepalives() {
            let mut keepalive = TcpKeepalive::new().with_time(self.config.get_keepalives_idle());
            if let Some(interval) = self.config.get_keepalives_interval() {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(retries) = self.config.get_keepalives_retries() {
                keepalive = keepalive.with_retries(retries);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        Ok(())
    }

    fn encryption(&self) -> Result<Encryption, PgError> {
        let name = self.name.as_deref().unwrap_or("");
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls.clone(), name)
            .map_err(|error| PgError::Unavailable(format!("TLS: {error}")))
    }
}

/// Ends what a connection runs, over a connection of its own to the same server.
pub(super) struct Canceller {
    token: CancelToken,
    target: Target,
}

impl Canceller {
    pub(super) async fn cancel(&self) -> Result<(), PgError> {
        let socket = self.target.connect().await?;
        self.token
            .cancel_query_raw(socket, self.target.encryption()?)
            .await
            .map_err(|error| PgError::from_driver(&error))
    }
}

/// TLS over the socket that a [`Wire`] is on, under another [`Wire`].
struct Encrypt(Encryption);

impl TlsConnect<Wire<Socket>> for Encrypt {
    type Stream = Wire<Encrypted>;
    type Error = std::io::Error;
    type Future = Encrypting;

    fn connect(self, wire: Wire<Socket>) -> Encrypting {
        let (socket, status) = wire.into_parts();
        Encrypting { handshake: self.0.connect(socket), status }
    }
}

struct Encrypting {
    handshake: <Encryption as TlsConnect<Socket>>::Future,
    status: Arc<TxStatus>,
}

impl Future for Encrypting {
    type Output = std::io::Result<Wire<Encrypted>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let encrypted = ready!(Pin::new(&mut self.handshake).poll(cx))?;
        Poll::Ready(Ok(Wire::new(encrypted, self.status.clone())))
    }
}

/// Whether the server takes writes, when the connection string asks for that.
async fn check_target(
    wanted: TargetSessionAttrs,
    client: &Client,
    driver: &mut Driver,
) -> Result<(), PgError> {
    if wanted == TargetSessionAttrs::Any {
        return Ok(());
    }
    let rows = tokio::select! {
        rows = client.simple_query("SHOW transaction_read_only") => {
            rows.map_err(|error| PgError::from_connect(&error))?
        }
        ended = driver => {
            return Err(match ended {
                Err(error) => PgError::from_connect(&error),
                Ok(()) => PgError::Unavailable("the connection ended".to_owned()),
            });
        }
    };
    let read_only = rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    match (read_only, wanted) {
        (Some("on"), TargetSessionAttrs::ReadWrite) => {
            Err(PgError::Unavailable("the server does not allow writes".to_owned()))
        }
        (Some("off"), TargetSessionAttrs::ReadOnly) => {
            Err(PgError::Unavailable("the server is not read-only".to_owned()))
        }
        (Some(_), _) => Ok(()),
        (None, _) => Err(PgError::Protocol("SHOW returned nothing".to_owned())),
    }
}
