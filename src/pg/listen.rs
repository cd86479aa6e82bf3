//! Notifications: one connection that listens, reconnects and says when it may
//! have missed something.
//!
//! ```text
//! driver task ─(Notification)─▶ bounded channel ─▶ receiver
//!      └─ lost, full ─────────▶ Lost: assume that everything changed
//! ```
//!
//! Each (re)connect is told as [`ListenEvent::Lost`] *after* `LISTEN` is
//! acknowledged, so a receiver that looks around then misses nothing.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;

use super::connect::{Connector, Opened};
use super::error::PgError;
use super::url::ConnectionString;

/// Events that may wait for the receiver.
const WAITING: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that is silent for this long is asked whether it is alive.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenEvent {
    Notification {
        channel: String,
        payload: String,
    },
    /// Listening starts or starts again, or there were more notifications than
    /// could be kept: assume that everything changed.
    Lost,
    /// Nothing is heard until the next [`ListenEvent::Lost`].
    Broken,
}

/// Follows the channels until the receiver is dropped.
pub(super) fn listen(
    url: &ConnectionString,
    channels: &'static [&'static str],
) -> Result<mpsc::Receiver<ListenEvent>, PgError> {
    let connector =
        Connector::new(url, "").map_err(|error| PgError::Unavailable(error.to_string()))?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = keep_listening(&connector, channels, &sender) => {}
        }
    });
    Ok(receiver)
}

async fn keep_listening(
    connector: &Connector,
    channels: &[&str],
    sender: &mpsc::Sender<ListenEvent>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = tokio::time::Instant::now();
        let error = listen_once(connector, channels, sender).await;
        tracing::debug!(%error, "listening for notifications was interrupted");
        if sender.send(ListenEvent::Broken).await.is_err() {
            return;
        }
        if started.elapsed() > PING_EVERY {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens until something goes wrong, and says what.
async fn listen_once(
    connector: &Connector,
    channels: &[&str],
    sender: &mpsc::Sender<ListenEvent>,
) -> PgError {
    let Opened { client, driver: mut connection, .. } = match connector.open().await {
        Ok(opened) => opened,
        Err(error) => return error,
    };
    let driving = async {
        let mut missed = false;
        loop {
            let message = std::future::poll_fn(|cx| connection.poll_message(cx));
            let message = tokio::select! {
                // There is room again for what could not be told.
                Ok(room) = sender.reserve(), if missed => {
                    room.send(ListenEvent::Lost);
                    missed = false;
                    continue;
                }
                message = message => message,
            };
            match message {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    missed |= sender
                        .try_send(ListenEvent::Notification {
                            channel: notification.channel().to_owned(),
                            payload: notification.payload().to_owned(),
                        })
                        .is_err();
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return PgError::from_driver(&error),
                None => return PgError::Unavailable("the connection ended".to_owned()),
            }
        }
    };
    let asking = async {
        let listen: String = channels.iter().map(|channel| format!("listen {channel};")).collect();
        if let Err(error) = client.batch_execute(&listen).await {
            return PgError::from_driver(&error);
        }
        if sender.send(ListenEvent::Lost).await.is_err() {
            return PgError::Unavailable("nobody listens any more".to_owned());
        }
        loop {
            tokio::time::sleep(PING_EVERY).await;
            match tokio::time::timeout(PING_LIMIT, client.batch_execute("")).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return PgError::from_driver(&error),
                Err(_) => return PgError::Unavailable("no sign of life".to_owned()),
            }
        }
    };
    tokio::select! {
        error = driving => error,
        error = asking => error,
    }
}
