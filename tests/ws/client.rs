//! A WebSocket client with the library that most Rust programs use, and one
//! that sends what it likes.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long a test waits for what will come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a server says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Text(String),
    Close(u16, String),
    /// The connection ended without a close frame.
    Gone,
}

pub(crate) struct Client {
    stream: WebSocketStream<TcpStream>,
    /// The sub-protocol that the server chose.
    pub(crate) protocol: Option<String>,
}

impl Client {
    /// Opens a socket; the status when the server refuses.
    pub(crate) async fn open(
        address: SocketAddr,
        protocol: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Client, u16> {
        let mut request = format!("ws://{address}/v1/graphql").into_client_request().unwrap();
        let mut add = |name: &str, value: &str| {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        };
        if let Some(protocol) = protocol {
            add("sec-websocket-protocol", protocol);
        }
        for (name, value) in headers {
            add(name, value);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((stream, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
                Ok(Client { stream, protocol })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// The next thing said; pings are answered on the way.
    pub(crate) async fn hear(&mut self) -> Said {
        let hearing = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => return Said::Text(text.to_string()),
                    Some(Ok(Message::Close(frame))) => {
                        let frame = frame.expect("with a code");
                        return Said::Close(frame.code.into(), frame.reason.to_string());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Said::Gone,
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.expect("the server says something in time")
    }

    /// The next message, as JSON.
    pub(crate) async fn json(&mut self) -> Value {
        match self.hear().await {
            Said::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Whether nothing is said for a while.
    pub(crate) async fn is_silent(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.hear()).await.is_err()
    }

    /// A conversation: `> ` is sent, `< ` must come word for word, `x ` is how
    /// the server closes.
    pub(crate) async fn talk(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_at(2) {
                ("> ", text) => self.send(text).await,
                ("< ", text) => assert_eq!(self.hear().await, Said::Text(text.to_owned())),
                ("x ", close) => {
                    let (code, reason) = close.split_once(' ').unwrap_or((close, ""));
                    let expected = Said::Close(code.parse().unwrap(), reason.to_owned());
                    assert_eq!(self.hear().await, expected);
                    assert_eq!(self.hear().await, Said::Gone);
                }
                _ => panic!("not a line of a script: {line}"),
            }
        }
    }
}

/// A socket past its handshake, byte by byte.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    /// With small buffers in the kernel, so that a reader can be slow.
    pub(crate) async fn open(address: SocketAddr, protocol: &str) -> Raw {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!(
            "GET /v1/graphql HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Raw { stream }
    }

    /// A frame with the mask of zeros.
    pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            length @ 0..=125 => out.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                out.push(0xfe);
                out.extend((length as u16).to_be_bytes());
            }
            length => {
                out.push(0xff);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend([0; 4]);
        out.extend(payload);
        out
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.send(&Raw::frame(0x81, text.as_bytes())).await;
    }

    /// First byte and payload of the next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let stream = &mut self.stream;
        let read = async {
            let first = stream.read_u8().await?;
            let length = match stream.read_u8().await? {
                126 => u64::from(stream.read_u16().await?),
                127 => stream.read_u64().await?,
                length => u64::from(length),
            };
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await?;
            std::io::Result::Ok((first, payload))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("in time").ok()
    }

    /// The code that the server closes with, whatever it says before.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Some((0x88, payload)) => return Some(u16::from_be_bytes([payload[0], payload[1]])),
                Some(_) => {}
                None => return None,
            }
        }
    }
}
