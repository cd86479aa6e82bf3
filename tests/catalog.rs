//! The catalogue against a real Postgres.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use std::time::Duration;

use harness::{OWNER, TestDb, role_name};
use ringfence::catalog::model::{Table, TableKind};
use ringfence::catalog::{Catalog, Exposure, Watch, load};
use ringfence::config::SchemaConfig;
use ringfence::pg::{Options, Pg};

fn pg(url: &str) -> Pg {
    Pg::new(Options::new(url.parse().unwrap())).unwrap()
}

fn schema(schemas: &[&str]) -> SchemaConfig {
    let config = ringfence::config::Config::with(&[("schema.expose", &schemas.join(","))]);
    config.unwrap().schema
}

/// The catalogue as `login` reads it.
async fn read_as(db: &TestDb, login: &str, schemas: &[&str]) -> Catalog {
    let tx = pg(&db.url_as(login)).begin_system("test").await.unwrap();
    let catalog = load(&tx, &schema(schemas)).await.unwrap();
    tx.commit().await.unwrap();
    catalog
}

/// A database after `sql`, run by the superuser, and its catalogue.
async fn prepared(sql: &str) -> (TestDb, Catalog) {
    let db = TestDb::empty().await;
    batch(&db, sql).await;
    let catalog = read_as(&db, OWNER, &["public"]).await;
    (db, catalog)
}

async fn batch(db: &TestDb, sql: &str) {
    if let Err(error) = db.client().await.batch_execute(sql).await {
        panic!("{error:?}");
    }
}

fn table<'a>(catalog: &'a Catalog, name: &str) -> &'a Table {
    catalog.tables.iter().find(|table| &*table.name == name).unwrap()
}

#[tokio::test]
async fn tables_columns_and_keys_come_out_as_declared() {
    let (_db, catalog) = prepared(
        "create table parent (a int, b text not null, primary key (b, a));
         comment on table parent is 'the parent';
         comment on column parent.b is 'part of the key';
         create table child (
           id bigint generated always as identity primary key,
           pa int, pb text, code varchar(10) default 'x' unique,
           up text generated always as (upper(code)) stored,
           parent_child bigint references child,
           foreign key (pb, pa) references parent (b, a));
         alter table child drop column code cascade;
         create view v as select * from parent",
    )
    .await;
    let names: Vec<_> = catalog.tables.iter().map(|t| (t.name.as_ref(), t.kind)).collect();
    assert_eq!(
        names,
        [("child", TableKind::Table), ("parent", TableKind::Table), ("v", TableKind::View)]
    );
}

#[tokio::test]
async fn settings_are_found_through_helpers_and_views() {
    let (_db, catalog) = prepared(
        "create function tenant() returns uuid language sql stable as
           $$ select nullif(current_setting('app.tenant_id', true), '')::uuid $$;
         create function outer_helper() returns uuid language plpgsql stable as
           $$ begin return public.tenant(); end $$;
         create function atomic() returns text language sql stable
           return current_setting('atomic.setting', true);
         create function dynamic(n text) returns text language plpgsql as
           $$ declare r text; begin execute 'select ' || n into r; return r; end $$;
         create table member (id int);
         create function member_of() returns boolean language sql stable as
           $$ select exists (select from public.member where current_setting('unused.in_comment' /* x */, true) is null) $$;
         alter table member enable row level security;
         create policy p on member using (id = current_setting('member.id')::int);
         create table a (tenant_id uuid, x text default current_setting('for.default', true));
         alter table a enable row level security;
         create policy p on a for select using (tenant_id = outer_helper() and x = atomic());
         create policy w on a for insert with check (x = current_setting('for.insert'));
         create table b (id int);
         alter table b enable row level security;
         create policy p on b using (member_of());
         create table c (id int);
         alter table c enable row level security;
         create policy p on c using (dynamic('1') = '1');
         create table d (id int);
         create view v as select *, current_setting('in.view', true) from a;
         create view vi with (security_invoker = on) as select * from a",
    )
    .await;
    let of = |name: &str| {
        let table = catalog.tables.iter().find(|t| &*t.name == name).unwrap();
        let read = &table.select_settings;
        let list = |names: &std::collections::BTreeSet<String>| {
            names.iter().cloned().collect::<Vec<_>>().join(",")
        };
        format!("{} | {} | {}", list(&read.names), list(&read.unguarded), read.closed)
    };
    assert_eq!(of("a"), "app.tenant_id,atomic.setting |  | true");
    assert_eq!(of("b"), "member.id,unused.in_comment | member.id | true");
    assert_eq!(of("c"), " |  | false");
    assert_eq!(of("d"), " |  | true");
    assert_eq!(of("v"), "in.view |  | true");
    assert_eq!(of("vi"), "app.tenant_id,atomic.setting |  | true");
    let all: Vec<_> = catalog.settings.names.iter().map(String::as_str).collect();
    assert_eq!(
        all,
        [
            "app.tenant_id",
            "atomic.setting",
            "for.default",
            "for.insert",
            "in.view",
            "member.id",
            "unused.in_comment"
        ]
    );
    assert!(!catalog.settings.closed);
}

/// Waits for the next generation that satisfies `done`.
async fn until(watch: &Watch, done: impl Fn(&Catalog) -> bool) {
    let mut generations = watch.subscribe();
    let wait = async {
        while !done(&watch.current()) {
            generations.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the change is noticed");
}

#[tokio::test]
async fn changes_are_noticed_without_help_from_the_database() {
    let db = TestDb::empty().await;
    let role = role_name("watched");
    batch(&db, &format!("create table t (id int, b int); create role {role}")).await;
    let watch = Watch::start(pg(&db.owner_url()), schema(&["public"])).await.unwrap();
    assert_eq!(watch.current().generation, 1);
    let t = |catalog: &Catalog| table(catalog, "t").clone();

    batch(&db, "alter table t add column c int").await;
    until(&watch, |catalog| t(catalog).columns.len() == 3).await;
    batch(&db, "alter table t alter b set not null").await;
    until(&watch, |catalog| t(catalog).columns[1].not_null).await;
    batch(&db, "alter table t rename b to d").await;
    until(&watch, |catalog| &*t(catalog).columns[1].name == "d").await;
    batch(&db, "comment on column t.c is 'new'").await;
    until(&watch, |catalog| t(catalog).columns[2].comment.as_deref() == Some("new")).await;
    batch(&db, "create policy p on t using (id = 1)").await;
    until(&watch, |catalog| t(catalog).policies.len() == 1).await;
    batch(&db, "alter policy p on t using (id = 2)").await;
    until(&watch, |catalog| t(catalog).policies[0].using.as_deref() == Some("(id = 2)")).await;
    batch(&db, "alter table t enable row level security").await;
    until(&watch, |catalog| t(catalog).rls_enabled).await;

    let id = |catalog: &Catalog| catalog.role(&role).map(|role| role.oid).unwrap();
    let selects =
        |catalog: &Catalog| catalog.privileges(id(catalog)).select(table(catalog, "t").id).len();
    batch(&db, &format!("grant usage on schema public to {role}; grant select on t to {role}"))
        .await;
    until(&watch, |catalog| selects(catalog) == 3).await;
    batch(&db, &format!("revoke select on t from {role}; grant select (id) on t to {role}")).await;
    until(&watch, |catalog| selects(catalog) == 1).await;
    batch(&db, &format!("grant app_user to {role}")).await;
    watch.suspect_roles();
    until(&watch, |catalog| !catalog.role(&role).unwrap().member_of.is_empty()).await;

    // Rewriting and using tables changes nothing.
    let before = watch.current().generation;
    batch(&db, "insert into t values (1, 1); truncate t; create temp table x (y int); analyze t")
        .await;
    batch(&db, "create table last (id int)").await;
    until(&watch, |catalog| catalog.tables.len() == 2).await;
    assert_eq!(watch.current().generation, before + 1);
    batch(&db, &format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn a_notification_brings_the_change_and_a_lost_database_keeps_the_old_one() {
    let db = TestDb::empty().await;
    let watch = Watch::start(pg(&db.owner_url()), schema(&["public"])).await.unwrap();
    watch.set_listening(true);
    batch(&db, "create table t (id int)").await;
    watch.notified();
    until(&watch, |catalog| catalog.tables.len() == 1).await;
    db.psql(&format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}' and usename = '{OWNER}'",
        db.name()
    ))
    .unwrap();
    batch(&db, "create table u (id int)").await;
    watch.notified();
    until(&watch, |catalog| catalog.tables.len() == 2).await;
}

#[tokio::test]
async fn doors_beside_the_fence_are_not_shown() {
    let db = TestDb::empty().await;
    let owner = role_name("low");
    batch(
        &db,
        &format!(
            "create role {owner};
             grant create on schema public to {owner};
             create table fenced (id int, tenant_id int);
             alter table fenced enable row level security;
             create policy p on fenced using (true);
             grant select on fenced to {owner};
             create table open (id int);
             create view owners as select * from fenced;
             create view invokers with (security_invoker = true) as select * from fenced;
             create view over_invokers as select * from invokers;
             create view over_owners with (security_invoker = true) as select * from owners;
             create view harmless as select * from open;
             create view bound as select * from fenced;
             alter view bound owner to {owner};
             create materialized view stored as select * from fenced;
             create materialized view stored_indirectly as select * from bound;
             create materialized view stored_open as select * from open;
             create table parts (id int) partition by list (id);
             create table part_one partition of parts for values in (1)"
        ),
    )
    .await;
    let catalog = read_as(&db, OWNER, &["public"]).await;
    let why = |name: &str| match table(&catalog, name).exposure(&catalog, false) {
        Exposure::Yes => "shown".to_owned(),
        Exposure::No(hidden) => hidden.to_string(),
    };
    for name in ["fenced", "open", "invokers", "over_invokers", "harmless", "bound", "stored_open"]
    {
        assert_eq!(why(name), "shown", "{name}");
    }
    for name in ["owners", "over_owners"] {
        assert!(why(name).starts_with("it reads fenced as"), "{name}: {}", why(name));
    }
    for name in ["stored", "stored_indirectly"] {
        assert!(why(name).starts_with("it stores rows of fenced"), "{name}: {}", why(name));
    }
    assert!(why("part_one").starts_with("it is a partition"));
    assert_eq!(table(&catalog, "owners").exposure(&catalog, true), Exposure::Yes);
    // What Postgres does is what we say it does.
    batch(&db, "insert into fenced values (1, 1); drop policy p on fenced; grant select on all tables in schema public to app_user").await;
    let rows = |name: &str| db.psql_as("app_user", &[], &format!("select count(*) from {name}"));
    for name in ["owners", "over_owners"] {
        assert_eq!(rows(name).as_deref(), Ok("1"), "{name}");
    }
    for name in ["fenced", "invokers", "over_invokers", "bound"] {
        assert_eq!(rows(name).as_deref(), Ok("0"), "{name}");
    }
    batch(&db, &format!("drop owned by {owner} cascade; drop role {owner}")).await;
}
