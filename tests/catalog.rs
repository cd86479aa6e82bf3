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
