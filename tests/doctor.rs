//! The linter against real databases: what it finds, and that each statement
//! it offers runs and mends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod harness;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{AUTHENTICATOR, OWNER, TestDb, role_name};
use ringfence::catalog::{Catalog, changes, load};
use ringfence::cluster::{Cluster, ClusterOptions};
use ringfence::config::{Config, LiveManage};
use ringfence::doctor::{self, DoctorInput, Finding, LiveInput, Report, Severity};
use ringfence::pg::{Options, Pg, Replication};
use serde_json::Value;

async fn catalog(db: &TestDb) -> Catalog {
    let pg = Pg::new(Options::new(db.url_as(OWNER).parse().unwrap())).unwrap();
    let config = Config::with(&[("schema.expose", "public")]).unwrap().schema;
    let tx = pg.begin_system("test").await.unwrap();
    let catalog = load(&tx, &config).await.unwrap();
    tx.commit().await.unwrap();
    catalog
}

async fn findings_for(db: &TestDb, authenticator: &str, production: bool) -> Vec<Finding> {
    doctor::run(&DoctorInput {
        catalog: &catalog(db).await,
        authenticator,
        mapped_roles: &[],
        schemas: &["public".to_owned()],
        tracked: &std::collections::BTreeSet::new(),
        production,
        tenant_columns: &["tenant_id".to_owned()],
        expose_owner_views: false,
        capabilities: None,
        live: None,
    })
}

async fn findings(db: &TestDb) -> Vec<Finding> {
    findings_for(db, AUTHENTICATOR, true).await
}

async fn batch(db: &TestDb, sql: &str) {
    if let Err(error) = db.client().await.batch_execute(sql).await {
        panic!("{error:?}\n{sql}");
    }
}

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    let mut ids: Vec<_> = findings.iter().map(|finding| finding.id).collect();
    ids.dedup();
    ids
}

fn has(findings: &[Finding], id: &str, object: &str) -> bool {
    findings.iter().any(|finding| finding.id == id && finding.object == object)
}

/// Runs every statement offered; it must run, and its finding must be gone.
async fn mend(db: &TestDb, findings: &[Finding]) {
    let mut done = std::collections::HashSet::new();
    for fix in findings.iter().filter_map(|finding| finding.fix.as_ref()) {
        if done.insert(fix) {
            batch(db, fix).await;
        }
    }
}

const POSTS: &str = "
    create table posts (
        id uuid primary key default gen_random_uuid(),
        tenant_id uuid not null,
        user_id uuid not null,
        title text not null,
        content text,
        created_at timestamptz default now()
    );
    alter table posts enable row level security;
    create policy tenant_isolation_select on posts
        for select
        using (tenant_id = current_setting('app.tenant_id', true)::uuid);
    create policy tenant_isolation_insert on posts
        for insert
        with check (
            tenant_id = current_setting('app.tenant_id', true)::uuid
            and user_id = current_setting('hasura.user.id', true)::uuid
        );
    create policy user_update_own on posts
        for update
        using (
            tenant_id = current_setting('app.tenant_id', true)::uuid
            and user_id = current_setting('hasura.user.id', true)::uuid
        );
    create policy admin_select_all on posts
        for select
        using (
            tenant_id = current_setting('app.tenant_id', true)::uuid
            and current_setting('hasura.user.role', true) = 'admin'
        );
    grant select, insert, update, delete on posts to app_user";

#[tokio::test]
async fn the_original_policies_give_these_findings_and_their_fixes_keep_the_meaning() {
    let db = TestDb::empty().await;
    batch(&db, POSTS).await;
    batch(
        &db,
        "insert into posts (tenant_id, user_id, title) select
           ('00000000-0000-0000-0000-00000000000' || t)::uuid,
           ('00000000-0000-0000-0000-00000000001' || u)::uuid, t || '/' || u
         from generate_series(1, 2) t, generate_series(1, 2) u",
    )
    .await;
    let found = findings(&db).await;
    for (id, count) in [
        ("policy-for-public", 4),
        ("setting-not-wrapped", 4),
        ("setting-not-guarded", 4),
        ("tenant-without-index", 1),
        ("policy-redundant", 1),
        ("command-without-policy", 1),
    ] {
        assert_eq!(found.iter().filter(|f| f.id == id).count(), count, "{id}");
    }
    assert_eq!(found.len(), 15, "{:?}", ids(&found));
    assert!(has(&found, "policy-redundant", "policy admin_select_all on public.posts"));
    assert!(!Report::new(found.clone()).has_refusals());

    let a = [
        ("app.tenant_id", "00000000-0000-0000-0000-000000000001"),
        ("hasura.user.id", "00000000-0000-0000-0000-000000000011"),
        ("hasura.user.role", "user"),
    ];
    let rows = || db.psql_as("app_user", &a, "select title from posts order by 1");
    let updated = || {
        db.psql_as(
            "app_user",
            &a,
            "with u as (update posts set content = 'x' returning 1) select count(*) from u",
        )
    };
    assert_eq!(rows().as_deref(), Ok("1/1\n1/2"));
    assert_eq!(updated().as_deref(), Ok("1"));
    let nobody = [("app.tenant_id", ""), ("hasura.user.id", "")];
    assert!(db.psql_as("app_user", &nobody, "select title from posts").is_err());

    mend(&db, &found).await;
    let left = findings(&db).await;
    assert_eq!(ids(&left), ["command-without-policy"], "{left:#?}");
    assert_eq!(rows().as_deref(), Ok("1/1\n1/2"));
    assert_eq!(updated().as_deref(), Ok("1"));
    assert_eq!(db.psql_as("app_user", &nobody, "select title from posts").as_deref(), Ok(""));
}

#[tokio::test]
async fn a_bad_database_is_seen_through_and_mended() {
    let db = TestDb::empty().await;
    batch(
        &db,
        "create extension postgres_fdw;
         create server elsewhere foreign data wrapper postgres_fdw;
         create function tenant() returns int language sql stable as
           $$ select nullif(current_setting('app.tenant_id', true), '')::int $$;
         create function tenant_now() returns int language plpgsql immutable as
           $$ begin return tenant(); end $$;
         create table naked (id int primary key, tenant_id int not null);
         create table off (id int, tenant_id int not null);
         create policy p on off to app_user using (tenant_id = (select tenant()));
         create table parent (id int primary key, tenant_id int not null, code text unique);
         create index on parent (code, id);
         create unique index only_here on parent (lower(code));
         alter table parent enable row level security;
         create policy p on parent to app_user using (tenant_id = tenant_now());
         create table child (
           id int primary key, tenant_id int not null,
           parent_id int references parent on delete set null,
           other_id int references parent on delete cascade on update cascade,
           \"select\" int, \"odd name\" text);
         alter table child enable row level security;
         alter table child force row level security;
         create policy p on child to app_user using (tenant_id = tenant());
         create function claim(name text) returns text language sql stable as
           $$ select nullif(current_setting('hasura.user', true), '')::json ->> name $$;
         create table claimed (id text);
         alter table claimed enable row level security;
         create policy p on claimed to app_user using (id = claim('x-hasura-user-id'));
         create table member (tenant_id int, user_id text);
         alter table member enable row level security;
         create policy p on member to app_user using (
           tenant_id in (select m.tenant_id from member m
             where m.user_id = current_setting('hasura.user.id', true)));
         create table team (tenant_id int, user_id text);
         create index on team (tenant_id);
         create function is_member(t int) returns boolean language plpgsql stable as
           $$ begin return exists (select from team x where x.tenant_id = t); end $$;
         create function is_member_definer(t int) returns boolean language plpgsql stable
           security definer set search_path = public, pg_temp as
           $$ begin return exists (select from team x where x.tenant_id = t); end $$;
         alter table team enable row level security;
         create policy p on team to app_user using (is_member(tenant_id));
         create table safe_team (tenant_id int);
         create index on safe_team (tenant_id);
         alter table safe_team enable row level security;
         create policy p on safe_team to app_user using (is_member_definer(tenant_id));
         create view owners as select * from parent;
         create materialized view stored as select * from parent;
         create foreign table remote (id int) server elsewhere;
         create table \"9 lives\" (id int);
         create function danger(q text) returns text language plpgsql security definer as
           $$ declare r text; begin execute q into r; return r; end $$;
         create procedure danger_too() language sql security definer as $$ select 1 $$;
         create table closed_not (id int);
         alter table closed_not enable row level security;
         create policy p on closed_not to app_user using (danger('x') = 'x');
         alter table child owner to test_owner;
         grant all on all tables in schema public to app_user;
         grant select on child to public",
    )
    .await;
    let found = findings(&db).await;
    for (id, object) in [
        ("immutable-reads-setting", "function public.tenant_now()"),
        ("tenant-table-without-rls", "table public.naked"),
        ("policies-without-rls", "table public.off"),
    ] {
        let finding = found.iter().find(|f| f.id == id && f.object == object).expect(id);
        assert_eq!(finding.severity, Severity::Refuse, "{id}");
    }
    for (id, object) in [
        ("fk-across-tenants", "constraint child_parent_id_fkey on public.child"),
        ("fk-across-tenants", "constraint child_other_id_fkey on public.child"),
        ("unique-across-tenants", "constraint parent_code_key on public.parent"),
        ("unique-across-tenants", "index public.only_here"),
        ("index-not-led-by-tenant", "index public.parent_code_id_idx"),
        ("tenant-without-index", "table public.parent"),
        ("grant-escapes-rls", "table public.parent"),
        ("force-blinds-owner", "table public.child"),
        ("setting-not-wrapped", "policy p on public.child"),
        ("setting-not-wrapped", "policy p on public.member"),
        ("setting-not-wrapped", "policy p on public.claimed"),
        ("membership-subquery", "policy p on public.member"),
        ("policy-recursion", "table public.member"),
        ("policy-recursion", "table public.team"),
        ("policy-not-closed", "policy p on public.closed_not"),
        ("owner-view-over-rls", "view public.owners"),
        ("materialized-view-over-rls", "materialized view public.stored"),
        ("foreign-table", "foreign table public.remote"),
        ("name-not-graphql", "table public.\"9 lives\""),
        ("name-not-graphql", "column public.child.\"odd name\""),
        ("definer-search-path", "function public.danger(q text)"),
        ("definer-search-path", "function public.danger_too()"),
        ("definer-dynamic-sql", "function public.danger(q text)"),
    ] {
        assert!(has(&found, id, object), "{id} {object} in {found:#?}");
    }
    // What is right is not found.
    for (id, object) in [
        ("setting-not-wrapped", "policy p on public.off"),
        ("policy-for-public", "policy p on public.parent"),
        ("policy-recursion", "table public.parent"),
        ("policy-recursion", "table public.safe_team"),
    ] {
        assert!(!has(&found, id, object), "{id} {object}");
    }
    // Postgres agrees on the recursion.
    let recursion = db.psql_as("app_user", &[], "select * from member").unwrap_err();
    assert!(recursion.contains("infinite recursion"), "{recursion}");
    batch(&db, "insert into team values (1, 'x'); insert into safe_team values (1)").await;
    let recursion = db.psql_as("app_user", &[], "select * from team").unwrap_err();
    assert!(recursion.contains("stack depth"), "{recursion}");
    assert_eq!(db.psql_as("app_user", &[], "select * from safe_team").as_deref(), Ok("1"));

    // Enabling row-level security makes other rules apply, so twice.
    mend(&db, &found).await;
    mend(&db, &findings(&db).await).await;
    let left = findings(&db).await;
    assert!(!Report::new(left.clone()).has_refusals(), "{left:#?}");
    let mut unfixed: Vec<_> = left.iter().map(|f| (f.id, f.object.as_str())).collect();
    unfixed.sort();
    let mut expected = vec![
        ("command-without-policy", "table public.child"),
        ("policy-not-closed", "policy p on public.closed_not"),
        ("policy-recursion", "table public.member"),
        ("policy-recursion", "table public.team"),
        ("unique-across-tenants", "index public.only_here"),
    ];
    if catalog(&db).await.server_version < 150_000 {
        // Postgres 14 has neither `SET NULL (column)` nor invoker's views.
        expected.push(("fk-across-tenants", "constraint child_parent_id_fkey on public.child"));
        expected.push(("owner-view-over-rls", "view public.owners"));
        expected.sort();
    }
    assert_eq!(unfixed, expected, "{left:#?}");
}

fn refused<'f>(findings: &'f [Finding], id: &str, object: &str) -> &'f Finding {
    let found = findings.iter().find(|f| f.id == id && f.object == object);
    let found = found.unwrap_or_else(|| panic!("{id} {object} in {findings:#?}"));
    assert_eq!(found.severity, Severity::Refuse, "{object}");
    found
}

#[tokio::test]
async fn immutable_functions_that_compute_what_they_read_refuse() {
    let db = TestDb::empty().await;
    batch(
        &db,
        "create function claim_of(n text) returns text language sql immutable as
           $$ select current_setting(n, true) $$;
         create function claim_later(n text) returns text language sql stable as
           $$ select current_setting(n, true) $$;
         create function through() returns text language sql immutable as
           $$ select claim_later('app.tenant_id') $$;
         create function built(n text) returns text language plpgsql immutable as
           $$ declare r text; begin execute 'select ' || n into r; return r; end $$;
         create function shown() returns text language sql immutable as
           $$ select setting from pg_settings where name = 'app.tenant_id' $$;
         create function unused(n text) returns text language sql immutable as
           $$ select current_setting(n, true) $$;
         create function harmless(n text) returns text language sql immutable as
           $$ select upper(n) $$;
         create table t (id int primary key, tenant_id uuid);
         create index on t (tenant_id);
         alter table t enable row level security;
         create policy p on t to app_user using (
           tenant_id = (select nullif(claim_of('app.tenant_id'), '')::uuid));
         create policy q on t to app_user using (through() = 'x' and built('x') = harmless('x'));
         create view v with (security_barrier) as select shown() as id",
    )
    .await;
    let found = findings(&db).await;
    for object in ["claim_of(n text)", "through()", "built(n text)", "shown()"]
        .map(|f| format!("function public.{f}"))
    {
        refused(&found, "immutable-reads-setting", &object);
    }
    let unused = found.iter().find(|f| f.object == "function public.unused(n text)").unwrap();
    assert_eq!(unused.severity, Severity::Warn);
    for object in ["function public.harmless(n text)", "function public.claim_later(n text)"] {
        assert!(!has(&found, "immutable-reads-setting", object), "{object}");
    }
    mend(&db, &found).await;
    assert!(!Report::new(findings(&db).await).has_refusals());
}

#[tokio::test]
async fn settings_that_outlast_the_transaction_refuse() {
    let db = TestDb::empty().await;
    batch(
        &db,
        "create function stays() returns text language sql as
           $$ select set_config('app.tenant_id', 'x', false) $$;
         create function by_policy() returns text language plpgsql as
           $$ begin return stays(); end $$;
         create function by_view() returns int language plpgsql as
           $$ begin set app.tenant_id to 'x'; return 1; end $$;
         create function by_default(l boolean) returns text language sql as
           $$ select set_config('app.tenant_id', 'x', l) $$;
         create function by_trigger() returns trigger language plpgsql as
           $$ begin execute 'set session app.tenant_id = 1'; return new; end $$;
         create function by_check() returns boolean language plpgsql as
           $$ begin update pg_settings set setting = 'x' where name = 'app.tenant_id'; return true; end $$;
         create function called() returns text language sql as
           $$ select set_config('app.tenant_id', 'x', false) $$;
         create function stays_local() returns trigger language plpgsql as
           $$ begin set local app.tenant_id = 1; perform set_config('a.b', 'c', true); return new; end $$;
         create table t (id int primary key, a text default by_default(true) check (by_check()),
           b text default set_config('a.b', 'c', false));
         alter table t enable row level security;
         create policy p on t to app_user using (by_policy() is not null);
         create policy q on t to app_user using (set_config('a.b', 'c', id > 0) is not null);
         create view v as select by_view() as id;
         create view w as select set_config('a.b', 'c', false) as id;
         create view good as select set_config('a.b', 'c', true) as id;
         create trigger g before insert on t for each row execute function by_trigger();
         create trigger l before insert on t for each row execute function stays_local()",
    )
    .await;
    let found = findings(&db).await;
    for (object, behind) in [
        ("function public.stays()", "policy p on public.t"),
        ("function public.by_view()", "view public.v"),
        ("function public.by_default(l boolean)", "default of public.t.a"),
        ("function public.by_trigger()", "trigger g on public.t"),
        ("function public.by_check()", "constraint t_check on public.t"),
        ("policy q on public.t", ""),
        ("default of public.t.b", ""),
        ("view public.w", ""),
    ] {
        let finding = refused(&found, "session-setting", object);
        assert!(finding.message.ends_with(behind), "{finding:#?}");
        assert!(
            finding.fix.as_ref().is_some_and(|fix| fix.contains("set_config(name, value, true)"))
        );
    }
    let called = found.iter().find(|f| f.object == "function public.called()").unwrap();
    assert_eq!((called.id, called.severity), ("session-setting", Severity::Warn));
    assert_eq!(found.iter().filter(|f| f.id == "session-setting").count(), 9, "{found:#?}");
}

#[tokio::test]
async fn roles_that_read_all_data_refuse() {
    let db = TestDb::empty().await;
    let [login, request, middle, clean] = ["rall", "rreq", "rmid", "rclean"].map(role_name);
    batch(
        &db,
        &format!(
            "create role {clean}; create role {middle}; create role {request} inherit;
             create role {login} login noinherit;
             grant pg_read_all_data to {middle}; grant {middle} to {request};
             grant pg_read_all_data to {login}; grant {request}, {clean} to {login}"
        ),
    )
    .await;
    let found = findings_for(&db, &login, true).await;
    for role in [&login, &middle] {
        let finding = refused(&found, "role-reads-all-data", &format!("role {role}"));
        let fix = format!("REVOKE pg_read_all_data FROM {role};");
        assert_eq!(finding.fix.as_deref(), Some(fix.as_str()));
    }
    assert!(!has(&found, "role-reads-all-data", &format!("role {clean}")));
    mend(&db, &found).await;
    let left = findings_for(&db, &login, true).await;
    assert!(!Report::new(left.clone()).has_refusals(), "{left:#?}");
    batch(&db, &format!("drop role {login}, {request}, {middle}, {clean}")).await;
}

#[tokio::test]
async fn views_over_other_doors_are_named_and_mended() {
    let db = TestDb::empty().await;
    if catalog(&db).await.server_version < 150_000 {
        return;
    }
    batch(
        &db,
        "create table fenced (id int primary key);
         alter table fenced enable row level security;
         create policy p on fenced to app_user using (false);
         create materialized view stored as select * from fenced;
         create view over_stored with (security_invoker = true) as select * from stored;
         create function definer() returns setof fenced language sql stable security definer
           set search_path = public, pg_temp as 'select * from fenced';
         create view over_definer with (security_invoker = true) as select * from definer();
         create table parts (id int) partition by list (id);
         alter table parts enable row level security;
         create policy p on parts to app_user using (false);
         create table part partition of parts for values in (1);
         create view over_part with (security_invoker = true) as select * from part;
         insert into fenced values (1); insert into parts values (1);
         refresh materialized view stored;
         grant select on all tables in schema public to app_user",
    )
    .await;
    let found = findings(&db).await;
    for (id, object) in [
        ("view-over-materialized-view", "view public.over_stored"),
        ("view-over-definer", "view public.over_definer"),
        ("view-over-partition", "view public.over_part"),
    ] {
        assert!(has(&found, id, object), "{id} {object} in {found:#?}");
    }
    mend(&db, &found).await;
    let left = findings(&db).await;
    assert!(!left.iter().any(|finding| finding.id.starts_with("view-over")), "{left:#?}");
    let rows = |view| db.psql_as("app_user", &[], &format!("select count(*) from {view}"));
    assert!(rows("over_stored").is_err());
    assert_eq!(rows("over_definer").as_deref(), Ok("0"));
    assert_eq!(rows("over_part").as_deref(), Ok("0"));
}

#[tokio::test]
async fn logins_and_roles_that_see_past_the_fence_refuse() {
    let db = TestDb::empty().await;
    let [login, open, owner, admin] = ["login", "open", "owning", "boss"].map(role_name);
    batch(
        &db,
        &format!(
            "create role {open} bypassrls; create role {owner}; create role {admin} superuser login;
             create role {login} login inherit; grant {open}, {owner} to {login};
             create table t (id int primary key); alter table t enable row level security;
             create policy p on t to {owner} using (true);
             grant select on t to {login};
             alter table t owner to {owner}"
        ),
    )
    .await;
    let found = findings_for(&db, &login, true).await;
    for (id, object) in [
        ("role-bypasses-rls", format!("role {open}")),
        ("role-owns-table", "table public.t".to_owned()),
        ("login-inherits", format!("role {login}")),
        ("login-has-rights", "table public.t".to_owned()),
    ] {
        assert!(has(&found, id, &object), "{id} {object} in {found:#?}");
    }
    let inherits = found.iter().find(|finding| finding.id == "login-inherits").unwrap();
    assert_eq!(inherits.severity, Severity::Refuse);
    assert_eq!(Report::new(found.clone()).exit_code(), 1);
    mend(&db, &found).await;
    let left = findings_for(&db, &login, true).await;
    assert!(left.iter().all(|f| f.severity == Severity::Info), "{left:#?}");
    assert_eq!(Report::new(left).exit_code(), 0);

    let found = findings_for(&db, &admin, true).await;
    assert!(has(&found, "login-bypasses-rls", &format!("role {admin}")), "{found:#?}");
    let found = findings_for(&db, "nobody of this name", true).await;
    assert_eq!(ids(&found)[0], "login-missing");
    batch(&db, &format!("reassign owned by {owner} to postgres; drop owned by {login}, {owner}; drop role {login}, {open}, {owner}, {admin}")).await;
}

#[tokio::test]
async fn names_of_the_configuration_that_mean_nothing_are_told() {
    let db = TestDb::empty().await;
    let [missing, apart, boss] = ["gone", "apart", "boss"].map(role_name);
    batch(&db, &format!("create role {apart}; create role {boss} bypassrls")).await;
    let mapped = [&missing, &apart, &boss, "app_user"].map(|role| role.to_owned());
    let schemas = ["public", "not here"].map(str::to_owned);
    let found = async || {
        let mut found = doctor::run(&DoctorInput {
            catalog: &catalog(&db).await,
            authenticator: AUTHENTICATOR,
            mapped_roles: &mapped,
            schemas: &schemas,
            tracked: &std::collections::BTreeSet::new(),
            production: true,
            tenant_columns: &[],
            expose_owner_views: false,
            capabilities: None,
            live: None,
        });
        let ids = ["role-missing", "role-not-granted", "schema-missing"];
        found.retain(|finding| ids.contains(&finding.id));
        found
    };
    let before = found().await;
    let mut told: Vec<_> = before.iter().map(|f| (f.id, f.object.clone())).collect();
    told.sort();
    let mut expected = vec![
        ("role-missing", format!("role {missing}")),
        ("role-not-granted", format!("role {apart}")),
        ("role-not-granted", format!("role {boss}")),
        ("schema-missing", "schema \"not here\"".to_owned()),
    ];
    expected.sort();
    assert_eq!(told, expected);
    mend(&db, &before).await;
    // No statement is offered that would let requests past the policies.
    let left = found().await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!((left[0].object.as_str(), &left[0].fix), (&*format!("role {boss}"), &None));
    batch(&db, &format!("drop role {missing}, {apart}, {boss}")).await;
}

#[tokio::test]
async fn development_warns_where_production_refuses() {
    let db = TestDb::empty().await;
    batch(
        &db,
        "create table t (id int primary key, tenant_id uuid); grant select on t to app_user",
    )
    .await;
    let severity = |found: Vec<Finding>| {
        found.iter().find(|f| f.id == "tenant-table-without-rls").unwrap().severity
    };
    assert_eq!(severity(findings_for(&db, AUTHENTICATOR, true).await), Severity::Refuse);
    assert_eq!(severity(findings_for(&db, AUTHENTICATOR, false).await), Severity::Warn);
}

#[tokio::test]
async fn capabilities_name_what_is_lost() {
    let db = TestDb::empty().await;
    let pg = Pg::new(Options::new(db.url_as(OWNER).parse().unwrap())).unwrap();
    let tx = pg.begin_system("test").await.unwrap();
    let capabilities = doctor::capabilities(&tx).await.unwrap();
    tx.commit().await.unwrap();
    let found = doctor::run(&DoctorInput {
        catalog: &catalog(&db).await,
        authenticator: AUTHENTICATOR,
        mapped_roles: &[],
        schemas: &["public".to_owned()],
        tracked: &std::collections::BTreeSet::new(),
        production: true,
        tenant_columns: &[],
        expose_owner_views: false,
        capabilities: Some(&capabilities),
        live: None,
    });
    assert!(has(&found, "capability-event-trigger", "event trigger"), "{found:#?}");
    assert!(has(&found, "capability-publication", "publication"), "{found:#?}");
    let report = Report::new(found);
    let text = report.to_string();
    assert!(text.contains("CREATE EVENT TRIGGER ringfence_catalog_ddl"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["refusals"], 0);
    assert_eq!(json["findings"][0]["severity"], "info");
}

#[tokio::test]
async fn each_table_has_its_way_to_tell_of_changes() {
    let db = TestDb::empty().await;
    batch(
        &db,
        "create publication ringfence_live;
         create schema ringfence;
         create function ringfence.tell_change() returns trigger language plpgsql as $$ begin return null; end $$;
         grant usage on schema ringfence to public;
         set role test_owner;
         create table keyed (id int primary key);
         create table logs (line text);
         create unlogged table buffers (id int primary key)",
    )
    .await;
    let findings = async |manage: LiveManage| {
        let pg = Pg::new(Options::new(db.owner_url().parse().unwrap())).unwrap();
        let tx = pg.begin_system("test").await.unwrap();
        let catalog = catalog(&db).await;
        let tables: Vec<u32> = catalog.tables.iter().map(|table| table.oid).collect();
        let trees = changes::trees(&tx, &tables).await.unwrap();
        tx.commit().await.unwrap();
        let mut found = doctor::run(&DoctorInput {
            catalog: &catalog,
            authenticator: AUTHENTICATOR,
            mapped_roles: &[],
            schemas: &["public".to_owned()],
            tracked: &std::collections::BTreeSet::new(),
            production: true,
            tenant_columns: &["tenant_id".to_owned()],
            expose_owner_views: false,
            capabilities: None,
            live: Some(LiveInput { manage, trees: &trees }),
        });
        found.retain(|finding| finding.id.starts_with("live-"));
        found
    };
    let found = findings(LiveManage::Publication).await;
    assert!(has(&found, "live-log", "table public.keyed"), "{found:#?}");
    assert!(has(&found, "live-polling", "table public.logs"), "{found:#?}");
    assert!(has(&found, "live-polling", "table public.buffers"), "{found:#?}");
    let found = findings(LiveManage::All).await;
    assert!(has(&found, "live-log", "table public.keyed"), "{found:#?}");
    assert!(has(&found, "live-triggers", "table public.logs"), "{found:#?}");
    assert!(has(&found, "live-triggers", "table public.buffers"), "{found:#?}");
    // Each statement that is offered brings its table to a better way.
    let found = findings(LiveManage::Off).await;
    assert!(has(&found, "live-polling", "table public.keyed"), "{found:#?}");
    mend(&db, &found).await;
    let found = findings(LiveManage::Publication).await;
    assert!(found.iter().all(|finding| finding.id == "live-log"), "{found:#?}");
    batch(&db, "alter table logs replica identity nothing; alter table buffers set unlogged").await;
    // The tenant in the replica identity tells whom an update concerns.
    batch(
        &db,
        "set role test_owner; create table owned (id int primary key, tenant_id uuid not null)",
    )
    .await;
    let tenants = async || {
        let mut found = findings(LiveManage::Publication).await;
        found.retain(|finding| finding.id == "live-tenant-not-told");
        found
    };
    let found = tenants().await;
    assert!(has(&found, "live-tenant-not-told", "table public.owned"), "{found:#?}");
    mend(&db, &found).await;
    assert_eq!(tenants().await, []);
    let found = findings(LiveManage::Off).await;
    assert!(has(&found, "live-triggers", "table public.logs"), "{found:#?}");
    assert!(has(&found, "live-triggers", "table public.buffers"), "{found:#?}");
}

/// A cluster of its own, since its roles and slots are changed.
struct Own {
    cluster: Option<Cluster>,
    url: String,
    folder: PathBuf,
}

impl Own {
    fn start(settings: &[(&str, &str)]) -> Own {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("doctor-log-{}", std::process::id()));
        let mut options = ClusterOptions::new(&folder, "doctor");
        options.durable = false;
        options.settings =
            settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let cluster = Cluster::start(&options).expect("a PostgreSQL server");
        let url = cluster.url().expose().clone();
        Own { cluster: Some(cluster), url, folder }
    }

    async fn sql(&self, sql: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.unwrap();
        let running = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
        drop(client);
        running.await.unwrap().unwrap();
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("DATABASE_URL", &self.url)
            .args(args)
            .output()
            .unwrap()
    }

    /// What the command says about following the log: id, message, statements.
    fn doctor(&self) -> Vec<(String, String, String)> {
        self.doctor_at(&self.url)
    }

    fn doctor_at(&self, url: &str) -> Vec<(String, String, String)> {
        let output = self.run(&["doctor", "--json", "--database-url", url]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .filter(|f| f["object"] == "table public.notes" || f["object"] == "REPLICATION")
            .map(|f| (text(&f["id"]), text(&f["message"]), text(&f["fix"])))
            .filter(|(id, ..)| id.starts_with("live-") || id.starts_with("capability-"))
            .collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.cluster.take().map(Cluster::stop) {
            eprintln!("a cluster of the test did not stop: {error}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_said_to_tell_only_when_a_server_can_follow_it() {
    let own = Own::start(&[("max_replication_slots", "1"), ("max_wal_senders", "1")]);
    own.sql("create table notes (id int primary key)").await;
    assert!(own.run(&["migrate"]).status.success());
    let ids = |found: &[(String, String, String)]| -> Vec<String> {
        found.iter().map(|(id, ..)| id.clone()).collect()
    };
    let good = ["capability-available", "live-log"];
    assert_eq!(ids(&own.doctor()), good);
    let polled = |reason: &str, fix: &str| {
        let found = own.doctor();
        assert_eq!(ids(&found), ["capability-replication", "live-polling"], "{found:#?}");
        assert!(found[0].1.contains(reason) && found[0].2.contains(fix), "{found:#?}");
        assert!(found[1].1.contains(reason), "{found:#?}");
        found[0].2.clone()
    };

    // The login of the requests may not read which login follows the log.
    own.sql("create role asker login password 'asker'").await;
    let (_, address) = own.url.split_once('@').unwrap();
    let asker = format!("postgres://asker:asker@{address}");
    let found = own.doctor_at(&asker);
    assert_eq!(ids(&found), ["capability-replication", "live-polling"], "{found:#?}");
    assert!(found[0].1.contains("cannot read") && !found[0].1.contains("no login"), "{found:#?}");

    // Somebody else has the slot.
    own.sql("select pg_create_logical_replication_slot('taken', 'pgoutput')").await;
    polled("all 1 replication slots are taken", "SET max_replication_slots = 5");
    own.sql("select pg_drop_replication_slot('taken')").await;
    assert_eq!(ids(&own.doctor()), good);

    // Somebody else has the connection, which then follows the log as a server does.
    let mut log = Replication::open(&own.url.parse().unwrap()).await.unwrap();
    polled("all 1 WAL senders are taken", "SET max_wal_senders = 5");
    log.create_slot("ringfence_live_0").await.unwrap();
    let found = own.doctor();
    let full = ["capability-available", "capability-replication-full", "live-log"];
    assert_eq!(ids(&found), full, "{found:#?}");
    // Whoever asks is told so; for the table it is another thing that is missing.
    let found = own.doctor_at(&asker);
    assert_eq!(ids(&found)[..2], full[..2], "{found:#?}");
    assert!(found[2].1.contains("it is not published"), "{found:#?}");
    drop(log);
    let start = Instant::now();
    while ids(&own.doctor()) != good {
        assert!(start.elapsed() < Duration::from_secs(60), "{:#?}", own.doctor());
    }

    // Another database's login may, this one's may not.
    own.sql(
        "alter role ringfence_replication noreplication;
         create role ringfence_replication_1 login replication",
    )
    .await;
    let fix = polled("ringfence_replication lacks LOGIN or REPLICATION", "ALTER ROLE");
    own.sql(&fix).await;
    assert_eq!(ids(&own.doctor()), good);
    own.sql("do $$ begin assert not exists (select from pg_replication_slots); end $$").await;
}
