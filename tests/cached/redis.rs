//! Answers in a real Redis: found by every server, and no harm when it is gone.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::json;

use super::SCHEMA;
use super::harness::TestDb;
use super::headers::{post, token};
use super::served::{Instance, Running, free_address, raw, wait_for};

struct Redis {
    process: Running,
    address: SocketAddr,
}

impl Redis {
    fn start() -> Redis {
        Redis::start_at(free_address())
    }

    fn start_at(address: SocketAddr) -> Redis {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--requirepass", "hush"])
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("Redis is installed: apt-get install redis-server");
        let redis = Redis { process: Running(child), address };
        wait_for(|| redis.says("PING").filter(|said| said.contains("PONG")));
        redis
    }

    /// The answer to a command.
    fn says(&self, command: &str) -> Option<String> {
        raw(self.address, &format!("AUTH hush\r\n{command}\r\nQUIT\r\n")).ok()
    }

    fn url(&self) -> String {
        format!("redis://:hush@{}/0", self.address)
    }
}

const NOTES: &str = "query @cached { notes { body } }";

async fn notes(server: &Instance, tenant: &str) -> String {
    post(server, &token(tenant), json!({"query": NOTES})).await.text().await.expect("a body")
}

fn serve(db: &TestDb, url: &str) -> Instance {
    Instance::start_with(db, &[("HASURA_GRAPHQL_REDIS_URL", url)])
}

#[tokio::test]
async fn servers_find_each_others_answers() {
    let redis = Redis::start();
    let db = TestDb::new(SCHEMA).await;
    let (one, two) = (serve(&db, &redis.url()), serve(&db, &redis.url()));
    let of_a = r#"{"data":{"notes":[{"body":"old of a"}]}}"#;
    let of_b = r#"{"data":{"notes":[{"body":"old of b"}]}}"#;
    assert_eq!((notes(&one, "a").await.as_str(), notes(&one, "b").await.as_str()), (of_a, of_b));
    let sql = db.client().await;
    sql.batch_execute("update notes set body = replace(body, 'old', 'new')").await.unwrap();
    assert_eq!((notes(&two, "a").await.as_str(), notes(&two, "b").await.as_str()), (of_a, of_b));
    // A refresh is that of all.
    let refresh = json!({"query": "query @cached(refresh: true, ttl: 50) { notes { body } }"});
    let fresh = r#"{"data":{"notes":[{"body":"new of a"}]}}"#;
    assert_eq!(post(&two, &token("a"), refresh).await.text().await.unwrap(), fresh);
    assert_eq!((notes(&one, "a").await.as_str(), notes(&one, "b").await.as_str()), (fresh, of_b));
    let keys = redis.says("KEYS *").expect("answers");
    assert!(keys.contains("*2\r\n") && keys.contains("ringfence:"), "{keys}");
    // The age of an answer is known where it was not made.
    let answer = post(&one, &token("a"), json!({"query": NOTES})).await;
    let left = answer.headers()["cache-control"].to_str().unwrap().to_owned();
    let left: u64 = left.strip_prefix("max-age=").expect("max-age").parse().expect("seconds");
    assert!((1..=50).contains(&left), "{left}");

    // Another database, whatever it has in common with the first.
    let other = TestDb::new(SCHEMA).await;
    let stranger = serve(&other, &redis.url());
    other
        .client()
        .await
        .batch_execute("update notes set body = 'other' where id = 1")
        .await
        .unwrap();
    assert_eq!(notes(&stranger, "a").await, r#"{"data":{"notes":[{"body":"other"}]}}"#);

    // A policy that changes is a new catalogue for both, one after the other.
    sql.batch_execute("alter policy tenant on notes using (false)").await.unwrap();
    for server in [&one, &two] {
        let started = std::time::Instant::now();
        while notes(server, "b").await != r#"{"data":{"notes":[]}}"# {
            assert!(started.elapsed() < super::served::PATIENCE, "the old answer stays");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn without_redis_the_database_answers() {
    let db = TestDb::new(SCHEMA).await;
    let address = free_address();
    let server = serve(&db, &format!("redis://:hush@{address}/0"));
    let sql = db.client().await;
    let set = async |body: &str| {
        let statement = format!("update notes set body = '{body}' where id = 1");
        sql.batch_execute(&statement).await.unwrap();
    };
    let of_a = |body: &str| format!(r#"{{"data":{{"notes":[{{"body":"{body}"}}]}}}}"#);
    for body in ["one", "two", "three"] {
        set(body).await;
        assert_eq!(notes(&server, "a").await, of_a(body));
    }
    // The line may come after the answer.
    super::served::wait_for(|| server.log().contains("Redis fails").then_some(()));
    assert!(!server.log().contains("hush"));
    let page = raw(server.address, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let page = page.expect("answers");
    let failures = page.lines().find_map(|line| {
        line.strip_prefix("ringfence_response_cache_total{result=\"failure\"} ")?
            .parse::<u64>()
            .ok()
    });
    assert!(failures.is_some_and(|failures| failures > 0), "{failures:?}");

    // It comes, goes and comes again.
    for _ in 0..2 {
        let redis = Redis::start_at(address);
        wait_until_kept(&server, &redis).await;
        let kept = notes(&server, "a").await;
        set("changed").await;
        assert_eq!(notes(&server, "a").await, kept);
        drop(redis.process);
        assert_eq!(notes(&server, "a").await, of_a("changed"));
        set("again").await;
        assert_eq!(notes(&server, "a").await, of_a("again"));
    }

    // Something else answers at the address: neither an error nor a wait.
    let silent = std::net::TcpListener::bind(address).expect("the port is free");
    assert_eq!(notes(&server, "a").await, of_a("again"));
    drop(silent);
}

/// Asks until an answer is in Redis.
async fn wait_until_kept(server: &Instance, redis: &Redis) {
    let started = std::time::Instant::now();
    loop {
        notes(server, "a").await;
        if redis.says("DBSIZE").is_some_and(|said| said.contains(":1\r\n")) {
            return;
        }
        assert!(started.elapsed() < super::served::PATIENCE, "nothing is ever kept");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_is_not_ours_in_redis_is_not_believed() {
    let redis = Redis::start();
    let db = TestDb::new(SCHEMA).await;
    let server = serve(&db, &redis.url());
    let first = notes(&server, "a").await;
    let keys = redis.says("KEYS *").expect("answers");
    let key = keys.lines().find(|line| line.starts_with("ringfence:")).expect("one key").to_owned();
    // No end, too short, another type.
    for command in [
        format!("SET {key} xxxx{{}}"),
        format!("SET {key} x EX 100"),
        format!("DEL {key}\r\nLPUSH {key} x"),
    ] {
        redis.says(&command).expect("answers");
        assert_eq!(notes(&server, "a").await, first, "{command}");
        redis.says(&format!("DEL {key}")).expect("answers");
        // A wrong type counts as a failure, after which Redis is left alone.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_told_at_the_start() {
    let db = TestDb::new(SCHEMA).await;
    let config = |url: &str| db.config(&[("cache.redis_url", url)]);
    let error = ringfence::app::App::start(config("redis://:hush@:nine")).await;
    let error = error.expect_err("is refused").to_string();
    assert!(error.contains("cache.redis_url") && !error.contains("hush"), "{error}");
    let refused = ringfence::config::Config::with(&[("cache.redis_url", "http://x")]);
    let refused = refused.expect_err("is refused").to_string();
    assert!(refused.contains("must begin with redis://"), "{refused}");
}
