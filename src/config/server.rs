//! The HTTP side: where to listen, whom to believe, who may call from a browser.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::hasura;
use super::setting::{same, section};

section! {
    /// Where the server listens and what it believes about its clients.
    ServerConfig "Server" "server." {
        /// Address to listen on; a container needs `0.0.0.0`.
        host: IpAddr = "127.0.0.1", env ["HASURA_GRAPHQL_SERVER_HOST" => hasura::host];
        /// Port to listen on; `0` takes a free one.
        port: u16 = "8080", env ["PORT" => same, "HASURA_GRAPHQL_SERVER_PORT" => same];
        /// Networks of reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        trusted_proxies: Vec<IpNet> = "";
        /// How long running requests may take to end after a stop signal.
        shutdown_grace: Duration = "30s",
            env ["HASURA_GRAPHQL_GRACEFUL_SHUTDOWN_TIMEOUT" => hasura::seconds];
        /// Whether browsers of other origins may call at all.
        cors: bool = "true", env ["HASURA_GRAPHQL_DISABLE_CORS" => hasura::inverted];
        /// Origins that may call: `*`, `https://app.example.com`, `https://*.example.com`.
        cors_domains: Vec<String> = "*", env ["HASURA_GRAPHQL_CORS_DOMAIN" => same],
            check origins;
        /// How long browsers may keep the answer to a preflight request.
        cors_max_age: Duration = "10m";
    }
}

impl ServerConfig {
    /// The address to bind.
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

fn origins(domains: &[String]) -> Result<(), String> {
    for domain in domains {
        let host = domain.strip_prefix("http://").or_else(|| domain.strip_prefix("https://"));
        let plain = host.is_some_and(|host| {
            !host.is_empty() && !host.contains(['/', ' ', '?', '#']) && !host.ends_with(':')
        });
        if domain != "*" && !plain {
            return Err(format!(
                "expected origins such as https://app.example.com without a path, got \"{domain}\""
            ));
        }
    }
    Ok(())
}
