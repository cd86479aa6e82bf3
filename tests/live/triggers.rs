//! Tables of which the log cannot tell: triggers do, where that is allowed.

use super::*;

const LOGS: &str = "subscription { logs(order_by: {at: asc}) { line } }";

async fn lines(client: &mut Client, wanted: &[&str]) {
    let wanted: Vec<Value> = wanted.iter().map(|line| json!({"line": line})).collect();
    until_state(client, "logs", &json!(wanted)).await;
}

fn triggers(server: &Server) -> String {
    let sql = "select string_agg(tgrelid::regclass::text, ' ' order by tgrelid::regclass::text)
               from pg_trigger where tgname = 'ringfence_live' and tgenabled = 'A'";
    server.db.psql(sql).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_tell_of_every_way_to_write() {
    let server = Server::start(&[("live.manage", "all")]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "l", LOGS).await;
    assert_eq!(state(&mut client, "l", "logs").await, json!([]));
    server.until("the table is covered", |live| live.trigger_tables == 1).await;
    assert_eq!(triggers(&server), "logs");
    server.until_woken(1).await;
    server.sql("insert into logs values (1, 'one')").await;
    lines(&mut client, &["one"]).await;
    server.db.psql("copy logs from stdin;\n2\tcopied\n\\.\n").unwrap();
    lines(&mut client, &["one", "copied"]).await;
    server.sql("update logs set line = 'uno' where at = 1").await;
    lines(&mut client, &["uno", "copied"]).await;
    server
        .sql("with gone as (delete from logs where at = 1 returning at) select * from gone")
        .await;
    lines(&mut client, &["copied"]).await;
    server
        .sql(
            "create function log() returns trigger language plpgsql as
               $$ begin insert into logs values (3, new.body); return null; end $$;
             create trigger log after insert on replies for each row execute function log();
             insert into replies values (9, 1, 'by a trigger')",
        )
        .await;
    lines(&mut client, &["copied", "by a trigger"]).await;
    // As tools that load data do it.
    server.sql("set session_replication_role = replica; delete from logs where at = 3").await;
    lines(&mut client, &["copied"]).await;
    server.sql("truncate logs").await;
    lines(&mut client, &[]).await;
    // A statement that changes nothing wakes nobody, and neither does a rollback.
    assert!(client.is_silent(Duration::from_millis(200)).await);
    let woken = server.live().woken;
    server.sql("update logs set line = ''").await;
    server.sql("begin; insert into logs values (4, ''); rollback").await;
    assert!(client.is_silent(Duration::from_millis(200)).await);
    assert_eq!(server.live().woken, woken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_stand_on_all_tables_through_which_rows_can_change() {
    let db = TestDb::new(SCHEMA).await;
    db.psql(
        "create unlogged table buffers (id int, name text);
         create table base (id int, name text);
         create table heir () inherits (base);
         create table ranges (id int, name text) partition by range (id);
         create table ranges_low partition of ranges for values from (0) to (10);
         create table ranges_high partition of ranges for values from (10) to (20);
         grant select on all tables in schema public to app_user",
    )
    .unwrap();
    let server = Server::start_on(db, &[("live.manage", "all")]).await;
    let mut client = server.client("a", "1").await;
    for field in ["buffers", "heir", "ranges"] {
        let query = format!("subscription {{ {field} {{ name }} }}");
        subscribe(&mut client, field, &query).await;
        assert_eq!(state(&mut client, field, field).await, json!([]));
    }
    server.until("the tables are covered", |live| live.trigger_tables == 3).await;
    assert_eq!(triggers(&server), "base buffers heir ranges ranges_high ranges_low");
    let row = |name: &str| json!([{"name": name}]);
    server.sql("insert into buffers values (1, 'b')").await;
    assert_eq!(state(&mut client, "buffers", "buffers").await, row("b"));
    server.sql("insert into heir values (1, 'h')").await;
    assert_eq!(state(&mut client, "heir", "heir").await, row("h"));
    // Through the table above.
    server.sql("update base set name = 'i'").await;
    assert_eq!(state(&mut client, "heir", "heir").await, row("i"));
    server.sql("insert into ranges values (1, 'r')").await;
    assert_eq!(state(&mut client, "ranges", "ranges").await, row("r"));
    server.sql("update ranges_low set name = 's'").await;
    assert_eq!(state(&mut client, "ranges", "ranges").await, row("s"));
    // A heir that comes later.
    server.sql("create table late () inherits (heir); insert into late values (2, 'late')").await;
    until_state(&mut client, "heir", &json!([{"name": "i"}, {"name": "late"}])).await;
    let start = Instant::now();
    while !triggers(&server).contains("late") {
        assert!(start.elapsed() < PATIENCE, "{}", triggers(&server));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.sql("update late set name = 'later'").await;
    until_state(&mut client, "heir", &json!([{"name": "i"}, {"name": "later"}])).await;
    // All of it can be taken away again.
    server.stop.cancel();
    let owner = server.db.superuser_url().parse().unwrap();
    ringfence::pg::migrate::remove(&owner, Some(harness::AUTHENTICATOR)).await.unwrap();
    assert_eq!(triggers(&server), "");
}

/// The owner may not make a login that follows the log, nor event triggers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_log_triggers_tell_of_everything() {
    let db = TestDb::new(SCHEMA).await;
    let owner = db.owner_url();
    let settings = [("database.owner_url", owner.as_str()), ("live.manage", "all")];
    let server = Server::start_on(db, &settings).await;
    let mut a = server.client("a", "1").await;
    let mut b = server.client("b", "1").await;
    for client in [&mut a, &mut b] {
        subscribe(client, "n", NOTES).await;
        client.json().await;
    }
    server.until("the groups are woken", |live| live.woken_groups == 2 && !live.streaming).await;
    server.sql("update notes set body = 'new' where id = 1").await;
    assert_eq!(state(&mut a, "n", "notes").await, json!([{"body": "new"}]));
    // It is read and not sent: it is what it was.
    assert!(b.is_silent(Duration::from_millis(100)).await);
    // While nobody listens nothing is told, and it is read when somebody does.
    server
        .sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and query ~ '^listen ringfence_live';
             update notes set body = 'unheard' where id = 1",
        )
        .await;
    until_state(&mut a, "notes", &json!([{"body": "unheard"}])).await;
    server.until("the groups are woken", |live| live.woken_groups == 2).await;
    // Somebody takes the trigger away: it comes back, and nothing is lost.
    server.sql("drop trigger ringfence_live on notes").await;
    server.sql("update notes set body = 'untold' where id = 1").await;
    until_state(&mut a, "notes", &json!([{"body": "untold"}])).await;
    server.sql("update notes set body = 'told' where id = 1").await;
    until_state(&mut a, "notes", &json!([{"body": "told"}])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_goes_from_one_way_to_another_and_loses_nothing() {
    let server = Server::start(&[("live.manage", "all")]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "l", LOGS).await;
    server.until("triggers tell", |live| live.trigger_tables == 1).await;
    let writer = async {
        let db = server.db.client().await;
        for round in 0..200 {
            if round % 50 == 10 {
                db.batch_execute("alter table logs add primary key (at)").await.unwrap();
            }
            if round % 50 == 35 {
                db.batch_execute("alter table logs drop constraint logs_pkey").await.unwrap();
            }
            let sql = "insert into logs values ($1, $2)";
            db.execute(sql, &[&round, &format!("line {round}")]).await.unwrap();
            db.execute("delete from logs where at < $1", &[&round]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ((), ()) = tokio::join!(writer, lines(&mut client, &["line 199"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_leave_new_rows_alone_are_told_and_writes_go_on() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "l", LOGS).await;
    assert_eq!(state(&mut client, "l", "logs").await, json!([]));
    let published = "select count(*) from pg_publication_tables
        where pubname = 'ringfence_live_inserts' and tablename = 'logs'";
    let start = Instant::now();
    while server.db.psql(published).unwrap() != "1" || !server.live().streaming {
        assert!(start.elapsed() < PATIENCE, "new rows are published");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It is published; whether the reader knows is told by the first row.
    let start = Instant::now();
    for round in 1.. {
        assert!(start.elapsed() < PATIENCE, "a new row is told");
        server.sql(&format!("insert into logs values ({round}, 'x')")).await;
        if !client.is_silent(Duration::from_millis(200)).await {
            break;
        }
    }
    server.sql("update logs set line = 'y'; delete from logs").await;
    server.sql("insert into logs values (0, 'last')").await;
    lines(&mut client, &["last"]).await;
    server.sql("truncate logs").await;
    lines(&mut client, &[]).await;
    assert_eq!(server.live().polled_groups, 1);
    assert_eq!(triggers(&server), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_that_somebody_made_by_hand_tell_where_the_server_may_make_none() {
    let db = TestDb::new(SCHEMA).await;
    let server = Server::start_on(db, &[("live.manage", "off")]).await;
    server
        .sql(
            "create trigger ringfence_live after insert or update or delete or truncate on logs
                for each statement execute function ringfence.tell_change();
             alter table logs enable always trigger ringfence_live",
        )
        .await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "l", LOGS).await;
    assert_eq!(state(&mut client, "l", "logs").await, json!([]));
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    server
        .until("one is told and one polls", |live| {
            (live.woken_groups, live.polled_groups) == (1, 1)
        })
        .await;
    assert_eq!(server.live().trigger_tables, 1);
    server.sql("insert into logs values (1, 'one')").await;
    lines(&mut client, &["one"]).await;
    server.sql("update logs set line = 'uno'").await;
    lines(&mut client, &["uno"]).await;
    server.sql("truncate logs").await;
    lines(&mut client, &[]).await;
    // Nothing else was put into the database, so the other table polls.
    assert_eq!(triggers(&server), "logs");
    let published = "select count(*) from pg_publication where pubname like 'ringfence%'";
    assert_eq!(server.db.psql(published).unwrap(), "0");
}
