//! Changes of metadata, one after the other: what is taken over from the
//! generation before is what a build from nothing gives.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use harness::TestDb;
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use ringfence::app::App;
use ringfence::catalog::{self, Catalog};
use ringfence::config::NamingConvention;
use ringfence::metadata::{Metadata, QualifiedName, Table};
use ringfence::schema::tracked::{self, BuildOptions, Connection, SourceInput, Tracked};
use serde_json::{Value, json};

/// Each table refers to the one before it, and has a function of its row.
const SCHEMA: &str = "
    do $$ begin for n in 0..5 loop
      execute format('create table t%s (id int primary key, name text, parent_id int%s)', n,
                     case when n > 0 then format(' references t%s', n - 1) else '' end);
      execute format('create function shout%s(r t%s) returns text stable language sql as ''select upper(r.name)''', n, n);
    end loop; end $$;
    create function all_of_0() returns setof t0 stable language sql as 'select * from t0';
";

const TABLES: usize = 6;
const ROLES: [&str; 3] = ["ada", "alan", "grace"];

async fn catalog() -> (App, Arc<Catalog>) {
    let db = TestDb::new(SCHEMA).await;
    let app = App::start(db.config(&[])).await.expect("starts");
    let tx = app.pg.begin_system("load the catalogue").await.expect("connects");
    let catalog = catalog::load::load(&tx, &app.config.schema).await.expect("loads");
    tx.commit().await.expect("commits");
    (app, Arc::new(catalog))
}

fn build(catalog: &Arc<Catalog>, metadata: &Metadata, before: Option<&Tracked>) -> Tracked {
    let source = SourceInput {
        name: "default".into(),
        catalog: catalog.clone(),
        connection: Connection::default(),
        metadata: metadata.source("default"),
        auto_track: false,
        enums: &HashMap::new(),
    };
    let expose = ["public".to_owned()];
    let options = BuildOptions {
        naming: NamingConvention::HasuraDefault,
        before,
        expose: &expose,
        metadata: Some(metadata),
    };
    tracked::build(&[source], options).expect("names")
}

/// All that somebody can tell of it.
fn told(tracked: &Tracked) -> String {
    let tables = tracked.tables.iter().map(|table| {
        let permissions: BTreeMap<_, _> = table.permissions.iter().collect();
        format!(
            "{:?} {} {:?} {:?} {:?} {:?}\n{permissions:#?}\n",
            table.id,
            table.name(),
            table.table,
            table.columns,
            table.relationships,
            table.computed
        )
    });
    let tables: String = tables.collect();
    format!(
        "{tables}{:#?}{:#?}{:?}{:?}",
        tracked.inconsistencies, tracked.functions, tracked.roles, tracked.inherited_roles
    )
}

/// One step of somebody who edits metadata; numbers are taken modulo what is
/// there.
#[derive(Debug, Clone)]
enum Change {
    Track(usize),
    Untrack(usize),
    Relate {
        table: usize,
        up: bool,
    },
    Unrelate {
        table: usize,
    },
    Compute(usize),
    Uncompute(usize),
    Permit {
        table: usize,
        role: usize,
        condition: Value,
    },
    Forbid {
        table: usize,
        role: usize,
    },
    Inherit(bool),
    /// What another server wrote is read anew.
    Reload {
        share: bool,
    },
}

fn condition() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!({"name": {"_eq": "X-Hasura-Name"}})),
        Just(json!({"id": {"_gt": 3}})),
        Just(json!({"gone": {"_eq": 1}})),
        Just(json!({"shout": {"_eq": "A"}})),
        Just(json!({"name": {"_ceq": ["$", "name"]}})),
    ];
    leaf.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| json!({"parent": inner})),
            inner.clone().prop_map(|inner| json!({"children": inner})),
            inner.clone().prop_map(|inner| json!({"_not": inner})),
            (0..TABLES, inner).prop_map(|(table, inner)| json!({"_exists":
                {"_table": {"schema": "public", "name": format!("t{table}")}, "_where": inner}})),
        ]
    })
}

fn change() -> impl Strategy<Value = Change> {
    let (table, role) = (0..TABLES, 0..ROLES.len());
    prop_oneof![
        4 => table.clone().prop_map(Change::Track),
        1 => table.clone().prop_map(Change::Untrack),
        4 => (table.clone(), any::<bool>()).prop_map(|(table, up)| Change::Relate { table, up }),
        1 => table.clone().prop_map(|table| Change::Unrelate { table }),
        2 => table.clone().prop_map(Change::Compute),
        1 => table.clone().prop_map(Change::Uncompute),
        8 => (table.clone(), role.clone(), condition())
            .prop_map(|(table, role, condition)| Change::Permit { table, role, condition }),
        1 => (table, role).prop_map(|(table, role)| Change::Forbid { table, role }),
        1 => any::<bool>().prop_map(Change::Inherit),
        1 => any::<bool>().prop_map(|share| Change::Reload { share }),
    ]
}

fn name(table: usize) -> QualifiedName {
    QualifiedName::new("public", format!("t{table}"))
}

fn apply(metadata: &mut Metadata, change: &Change) {
    if let Change::Reload { share } = change {
        let text = serde_json::to_string(metadata).expect("JSON");
        let mut read = Metadata::from_text(&text).expect("reads");
        assert_eq!(read, *metadata);
        if *share {
            read.share(metadata);
        }
        *metadata = read;
        return;
    }
    if let Change::Inherit(inherits) = change {
        let roles =
            if *inherits { json!([{"role_name": "all", "role_set": ROLES}]) } else { json!([]) };
        metadata.inherited_roles = serde_json::from_value(roles).expect("roles");
        return;
    }
    let source = metadata.source_mut("default").expect("a source");
    let table = match change {
        Change::Track(table) => {
            if source.table(&name(*table)).is_none() {
                source.tables.push(Arc::new(Table::new(name(*table))));
            }
            return;
        }
        Change::Untrack(table) => return source.tables.retain(|found| found.table != name(*table)),
        Change::Relate { table, .. }
        | Change::Unrelate { table }
        | Change::Compute(table)
        | Change::Uncompute(table)
        | Change::Permit { table, .. }
        | Change::Forbid { table, .. } => *table,
        Change::Inherit(_) | Change::Reload { .. } => return,
    };
    let Some(written) = source.table_mut(&name(table)) else { return };
    match change {
        Change::Relate { up: true, .. } => {
            let parent =
                json!([{"name": "parent", "using": {"foreign_key_constraint_on": "parent_id"}}]);
            written.object_relationships = serde_json::from_value(parent).expect("a relationship");
        }
        Change::Relate { up: false, .. } => {
            let children = json!([{"name": "children", "using": {"foreign_key_constraint_on":
                {"column": "parent_id", "table": format!("t{}", table + 1)}}}]);
            written.array_relationships = serde_json::from_value(children).expect("a relationship");
        }
        Change::Unrelate { .. } => {
            written.object_relationships.clear();
            written.array_relationships.clear();
        }
        Change::Compute(_) => {
            let field =
                json!([{"name": "shout", "definition": {"function": format!("shout{table}")}}]);
            written.computed_fields = serde_json::from_value(field).expect("a field");
        }
        Change::Uncompute(_) => written.computed_fields.clear(),
        Change::Permit { role, condition, .. } => {
            let role = ROLES[*role];
            written.select_permissions.retain(|permission| &*permission.role != role);
            let permission = json!({"role": role, "permission": {"columns": ["id", "name"], "filter": condition}});
            written
                .select_permissions
                .push(serde_json::from_value(permission).expect("a permission"));
        }
        Change::Forbid { role, .. } => {
            written.select_permissions.retain(|permission| *permission.role != *ROLES[*role]);
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_gives_what_a_build_from_nothing_gives() {
    let (_app, catalog) = catalog().await;
    let mut runner = TestRunner::new(RunnerConfig {
        cases: 200,
        failure_persistence: None,
        ..RunnerConfig::default()
    });
    let run = runner.run(&prop::collection::vec(change(), 1..40), |changes| {
        let mut metadata = Metadata::empty();
        let mut tracked = build(&catalog, &metadata, None);
        for change in &changes {
            apply(&mut metadata, change);
            tracked = build(&catalog, &metadata, Some(&tracked));
            prop_assert_eq!(told(&tracked), told(&build(&catalog, &metadata, None)));
        }
        Ok(())
    });
    run.expect("the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_permissions_of_other_tables_are_taken_over() {
    let (_app, catalog) = catalog().await;
    let mut metadata = Metadata::empty();
    for table in 0..TABLES {
        apply(&mut metadata, &Change::Track(table));
        apply(&mut metadata, &Change::Relate { table, up: true });
        let condition = json!({"parent": {"name": {"_eq": "X-Hasura-Name"}}});
        let condition = if table == 0 { json!({}) } else { condition };
        apply(&mut metadata, &Change::Permit { table, role: 0, condition });
    }
    let before = build(&catalog, &metadata, None);
    let shared = |before: &Tracked, after: &Tracked| -> Vec<bool> {
        let both = before.tables.iter().zip(&after.tables);
        both.map(|(before, after)| Arc::ptr_eq(&before.permissions, &after.permissions)).collect()
    };
    // A permission is the table's own.
    apply(&mut metadata, &Change::Permit { table: 2, role: 1, condition: json!({}) });
    let after = build(&catalog, &metadata, Some(&before));
    assert_eq!(shared(&before, &after), [true, true, false, true, true, true]);
    // What conditions lead to is not.
    apply(&mut metadata, &Change::Compute(3));
    let last = build(&catalog, &metadata, Some(&after));
    assert_eq!(shared(&after, &last), [true, true, true, false, false, true]);
}
