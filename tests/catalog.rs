//! The catalogue against a real Postgres.

mod catalog_support;

use catalog_support::Database;
use ringfence::catalog::model::TableKind;

#[tokio::test]
async fn tables_columns_and_keys_come_out_as_declared() {
    let db = Database::create("shape").await;
    db.batch(
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
    let catalog = db.catalog(&["public"]).await;
    let names: Vec<_> = catalog.tables.iter().map(|t| (t.name.as_ref(), t.kind)).collect();
    assert_eq!(
        names,
        [("child", TableKind::Table), ("parent", TableKind::Table), ("v", TableKind::View)]
    );
}

#[tokio::test]
async fn settings_are_found_through_helpers_and_views() {
    let db = Database::create("settings").await;
    db.batch(
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
    let catalog = db.catalog(&["public"]).await;
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
