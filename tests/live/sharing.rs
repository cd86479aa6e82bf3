//! Who shares a reading, and who must not.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_share_whose_policies_cannot_tell_them_apart() {
    let server = Server::start(&[]).await;
    let mut clients = Vec::new();
    for (tenant, user) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("b", "2")] {
        let mut client = server.client(tenant, user).await;
        subscribe(&mut client, "n", NOTES).await;
        let own = json!([{"body": format!("of {tenant}")}]);
        assert_eq!(state(&mut client, "n", "notes").await, own);
        clients.push((tenant, client));
    }
    // Two tenants, five users.
    server.until_woken(2).await;
    server.sql("update notes set body = 'changed ' || tenant_id").await;
    for (tenant, client) in &mut clients {
        let own = json!([{"body": format!("changed {tenant}")}]);
        assert_eq!(state(client, "n", "notes").await, own);
    }
    // The settings that a policy reads keep users apart.
    for (_, client) in &mut clients {
        subscribe(client, "f", "subscription { files { name } }").await;
        client.json().await;
    }
    server.until("three users are three groups", |live| live.woken_groups == 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_widens_without_a_claim_gives_nobody_more() {
    let server = Server::start(&[]).await;
    // Both settings are named, so each user is a group: nothing is withheld.
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "w", "subscription { wide { name } }").await;
    assert_eq!(state(&mut client, "w", "wide").await, json!([{"name": "a"}]));
    server.sql("update wide set name = upper(name)").await;
    assert_eq!(state(&mut client, "w", "wide").await, json!([{"name": "A"}]));
    // A setting that the analysis does not find: the policy asks by a computed
    // name, so nobody shares at all.
    server
        .sql(
            "create table hidden (id int primary key, name text);
             alter table hidden enable row level security;
             create policy hidden on hidden to app_user using (
                coalesce(current_setting('hasura.' || 'user.id', true), '') = '' or name = 'open');
             insert into hidden values (1, 'open'), (2, 'shut');
             grant select on hidden to app_user",
        )
        .await;
    let start = Instant::now();
    while server.app.engine.schemas().tracked().table_by_name("hidden").is_none() {
        assert!(start.elapsed() < PATIENCE, "the table appears");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut others = Vec::new();
    for user in ["1", "2"] {
        let mut client = server.client("a", user).await;
        subscribe(&mut client, "h", "subscription { hidden { name } }").await;
        assert_eq!(state(&mut client, "h", "hidden").await, json!([{"name": "open"}]));
        others.push(client);
    }
    assert_eq!(server.live().mismatches, 0);
}

/// Ways to call `owns(owner)` and `gate()` from a function without naming them:
/// a statement before, and the expression.
const UNNAMED: [(&str, &str, &str); 9] = [
    (
        "defaults",
        "create function helped(o text, me text default current_setting('hasura.user.id', true))
            returns boolean language sql stable as $$ select coalesce(nullif(me, ''), o) = o $$",
        "helped(owner) and gate('x')",
    ),
    (
        "operators",
        "create operator @@@ (leftarg = text, rightarg = text, function = owns2);
         create operator ~@~ (rightarg = text, function = gate)",
        "owner @@@ 'x' and (operator(public.~@~) 'x')",
    ),
    (
        "fields",
        "create table me (o text);
         create function of_me(me) returns boolean language sql stable as $$ select owns(($1).o) $$;
         create function gate_of(me) returns boolean language sql stable as $$ select gate('x') $$",
        "(select (m).of_me and (m).gate_of from (select row(owner)::me as m) x)",
    ),
    (
        "casts",
        "create type mine as (ok boolean);
         create function to_mine(bigint) returns mine language plpgsql stable as
            $$ begin return row(gate('x') and nullif(current_setting('hasura.user.id', true), '')::bigint = $1); end $$;
         create cast (bigint as mine) with function to_mine(bigint)",
        "((owner::bigint)::mine).ok",
    ),
    (
        "domains",
        "create domain checked as text check (owns(value) is not null and gate('x') is not null);
         create function through(o checked) returns boolean language sql stable as $$ select true $$",
        "owner::checked is not null and owns_plainly(owner) and gate('x')",
    ),
    (
        "escapes",
        "create function escaped(o text) returns boolean language plpgsql stable as
            $$ begin return U&\"current\\005fsetting\"(U&'hasura.\\0075ser.id', true) in ('', o); end $$",
        "escaped(owner) and exists (select from U&\"g\\0061tes2\" where is_open)",
    ),
    (
        "lists",
        "",
        "owns(owner) and exists (select from replies r join replies s on r.id = s.id, gates2 g where g.is_open)",
    ),
    (
        "key_words",
        "create schema authz;
         grant usage on schema authz to app_user;
         create function authz.any(o text) returns boolean language sql stable as
            $$ select owns(o) and gate('x') $$",
        "authz.any(owner)",
    ),
    (
        "long_names",
        "create function ooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo(o text) returns boolean
            language sql stable as $$ select owns(o) and gate('x') $$",
        "ooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo(owner)",
    ),
];

/// What a policy's function reads counts, however it gets there: nobody shares a
/// reading with whom the policy tells apart, and a change of what it reads wakes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_function_calls_without_naming_it_is_found() {
    let db = TestDb::new(SCHEMA).await;
    let client = db.client().await;
    client
        .batch_execute(
            "create table gates2 (is_open boolean primary key);
             insert into gates2 values (true);
             grant select on gates2 to app_user;
             create function gate(text) returns boolean language sql stable as
                $$ select exists (select from gates2 where is_open) $$;
             create function owns(o text) returns boolean language sql stable as
                $$ select current_setting('hasura.user.id', true) in ('', o) $$;
             create function owns2(o text, text) returns boolean language sql stable as
                $$ select owns(o) $$;
             create function owns_plainly(o text) returns boolean language sql stable as
                $$ select current_setting('hasura.user.id', true) = o $$",
        )
        .await
        .expect("runs");
    for (name, before, expression) in UNNAMED {
        let sql = format!(
            "{before};
             create function allows_{name}(owner text) returns boolean language plpgsql stable as
                $$ begin return {expression}; end $$;
             create table t_{name} (id int primary key, owner text);
             alter table t_{name} enable row level security;
             create policy p on t_{name} to app_user using (allows_{name}(owner));
             grant select on t_{name} to app_user"
        );
        client.batch_execute(&sql).await.expect(name);
    }
    let server = Server::start_on(db, &[]).await;
    for (name, ..) in UNNAMED {
        let query = format!("subscription {{ t_{name} {{ id }} }}");
        let field = format!("t_{name}");
        let mut one = server.client("a", "1").await;
        let mut two = server.client("a", "2").await;
        for client in [&mut one, &mut two] {
            subscribe(client, name, &query).await;
            assert_eq!(state(client, name, &field).await, json!([]), "{name}");
        }
        server.until_woken(2).await;
        server.sql(&format!("insert into t_{name} values (1, '1')")).await;
        assert_eq!(state(&mut one, name, &field).await, json!([{"id": 1}]), "{name}");
        server.sql(&format!("insert into t_{name} values (2, '2')")).await;
        assert_eq!(state(&mut two, name, &field).await, json!([{"id": 2}]), "{name}");
        server.sql("update gates2 set is_open = false").await;
        for client in [&mut one, &mut two] {
            assert_eq!(state(client, name, &field).await, json!([]), "{name}");
        }
        server.sql("update gates2 set is_open = true").await;
        for client in [&mut one, &mut two] {
            client.json().await;
            client.send(json!({"id": name, "type": "complete"}).to_string()).await;
        }
        server.until("they are gone", |live| live.woken_groups == 0).await;
    }
    assert_eq!(server.live().mismatches, 0);
}

/// What a database has for other purposes keeps nobody from sharing or waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_and_functions_that_no_policy_uses_cost_nothing() {
    let db = TestDb::new(SCHEMA).await;
    db.client()
        .await
        .batch_execute(
            "create type timerange as range (subtype = time);
             create domain past as date check (value <= current_date);
             create function tenant() returns text language sql stable as
                $$ select nullif(current_setting('app.tenant_id', true), '') $$;
             create function tenant_id() returns trigger language plpgsql as
                $$ begin perform now(); return new; end $$;
             create table shifts (id int primary key, tenant_id text, hours timerange, since past);
             create function shows(s shifts) returns boolean language sql stable as
                $$ select s.tenant_id = tenant() and s.hours && timerange('00:00', '24:00') $$;
             alter table shifts enable row level security;
             create policy p on shifts to app_user using (shows(shifts));
             grant select on shifts to app_user;
             insert into shifts values (1, 'a', '[08:00,12:00)', '2020-01-01')",
        )
        .await
        .expect("runs");
    let server = Server::start_on(db, &[]).await;
    let mut clients = Vec::new();
    for user in ["1", "2"] {
        let mut client = server.client("a", user).await;
        subscribe(&mut client, "s", "subscription { shifts { id hours } }").await;
        client.json().await;
        clients.push(client);
    }
    server.until_woken(1).await;
    server.sql("update shifts set hours = '[09:00,12:00)'").await;
    for client in &mut clients {
        let hours = state(client, "s", "shifts").await[0]["hours"].clone();
        assert_eq!(hours, json!("[09:00:00,12:00:00)"));
    }
}

/// A default reads the clock: nobody can tell when such an answer changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_in_a_default_is_polled() {
    let db = TestDb::new(SCHEMA).await;
    db.client()
        .await
        .batch_execute(
            "create function active(t timestamptz, at timestamptz default now()) returns boolean
                language sql immutable as $$ select t > at $$;
             create table offers (id int primary key, until timestamptz);
             alter table offers enable row level security;
             create policy p on offers to app_user using (active(until));
             grant select on offers to app_user;
             insert into offers values (1, now() + interval '3 s')",
        )
        .await
        .expect("runs");
    let server = Server::start_on(db, &[("live.poll_interval", "100ms")]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "o", "subscription { offers { id } }").await;
    until_state(&mut client, "offers", &json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_raises_disturbs_its_own_tenant_only() {
    let server = Server::start(&[]).await;
    let mut a = server.client("a", "1").await;
    let mut b = server.client("b", "1").await;
    for client in [&mut a, &mut b] {
        subscribe(client, "s", "subscription { shapes { size } }").await;
        assert_eq!(state(client, "s", "shapes").await, json!([{"size": 1}]));
    }
    server.until_woken(2).await;
    server.sql("update shapes set size = 0 where tenant_id = 'a'").await;
    let failed = a.json().await;
    assert!(failed["payload"]["errors"].is_array(), "{failed}");
    server.sql("update shapes set size = 2 where tenant_id = 'b'").await;
    assert_eq!(state(&mut b, "s", "shapes").await, json!([{"size": 2}]));
    server.sql("update shapes set size = 3 where tenant_id = 'a'").await;
    until_state(&mut a, "shapes", &json!([{"size": 3}])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_would_read_something_else_alone_does_not_share() {
    // Without the user the policy shows nothing.
    nobody_is_shown_what_the_shared_reading_has(
        "author = (select nullif(current_setting('hasura.user.id', true), ''))",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_would_be_shown_more_by_sharing_does_not_share() {
    // Without the user it shows everybody's.
    nobody_is_shown_what_the_shared_reading_has(
        "(author = nullif(current_setting('hasura.user.id', true), '')
            or nullif(current_setting('hasura.user.id', true), '') is null)",
    )
    .await;
}

/// With a policy on users of which the server does not know, so that it withholds
/// who the user is.
async fn nobody_is_shown_what_the_shared_reading_has(condition: &str) {
    let server = Server::start(&[]).await;
    server.sql("insert into notes values (3, 'a', '2', 'second')").await;
    let mut other = server.client("b", "2").await;
    subscribe(&mut other, "n", NOTES).await;
    assert_eq!(state(&mut other, "n", "notes").await, json!([{"body": "of b"}]));
    server.until_woken(1).await;
    // The catalogue cannot be read while a table with a policy is locked, so the
    // server goes on to take the policy for one of tenants, and users for alike.
    let mut locking = server.db.client().await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("lock table papers in access exclusive mode").await.unwrap();
    let policy = format!(
        "alter policy tenant on notes using (
            tenant_id = (select nullif(current_setting('app.tenant_id', true), '')) and {condition})"
    );
    server.sql(&policy).await;
    let start = Instant::now();
    while server.app.watch.failures() == 0 {
        assert!(start.elapsed() < PATIENCE, "the catalogue cannot be read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut clients = Vec::new();
    for (user, body) in [("1", "of a"), ("2", "second")] {
        let mut client = server.client("a", user).await;
        subscribe(&mut client, "n", NOTES).await;
        assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": body}]));
        clients.push((client, body));
    }
    server.until_woken(3).await;
    server.sql("update notes set body = upper(body)").await;
    for (client, body) in &mut clients {
        let own = json!([{"body": body.to_uppercase()}]);
        assert_eq!(state(client, "n", "notes").await, own);
    }
    let catalog = server.app.watch.current();
    let known = &catalog.table_named("public", "notes").unwrap().select_settings;
    assert!(!known.names.contains("hasura.user.id"), "{known:?}");
    // They were compared before they shared anything.
    assert_eq!((server.app.engine.unshareable_operations(), server.live().mismatches), (1, 0));
    lock.rollback().await.unwrap();
}
