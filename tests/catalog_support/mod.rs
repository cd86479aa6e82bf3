//! A database of its own for each test of the catalogue.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test support")]

use ringfence::catalog::{Catalog, load};
use tokio_postgres::{Client, NoTls};

pub(crate) struct Database {
    pub(crate) client: Client,
}

pub(crate) fn server() -> String {
    std::env::var("RINGFENCE_TEST_PG")
        .unwrap_or_else(|_| "host=127.0.0.1 port=54329 user=postgres".to_owned())
}

pub(crate) async fn connect(database: &str, login: Option<&str>) -> Client {
    let mut config: tokio_postgres::Config = server().parse().expect("RINGFENCE_TEST_PG");
    config.dbname(database);
    if let Some(login) = login {
        config.user(login);
    }
    let (client, connection) = config.connect(NoTls).await.expect("test server");
    tokio::spawn(connection);
    client
}

impl Database {
    pub(crate) async fn create(name: &str) -> Database {
        let name = format!("cat_test_{name}");
        let admin = connect("postgres", None).await;
        admin.batch_execute(&format!("drop database if exists {name} with (force)")).await.unwrap();
        admin.batch_execute(&format!("create database {name}")).await.unwrap();
        let client = connect(&name, None).await;
        Database { client }
    }

    pub(crate) async fn batch(&self, sql: &str) {
        if let Err(error) = self.client.batch_execute(sql).await {
            panic!("{error:?}");
        }
    }

    pub(crate) async fn catalog(&self, schemas: &[&str]) -> Catalog {
        read(&self.client, schemas).await
    }
}

pub(crate) async fn read(client: &Client, schemas: &[&str]) -> Catalog {
    let schemas: Vec<String> = schemas.iter().map(|s| (*s).to_owned()).collect();
    client.batch_execute("begin read only").await.unwrap();
    client.query_one(load::PREPARE, &[]).await.unwrap();
    let row =
        client.query_one(load::INTROSPECT, &[&load::exposed_schemas(&schemas)]).await.unwrap();
    client.batch_execute("commit").await.unwrap();
    load::decode(row.get(0)).unwrap()
}
