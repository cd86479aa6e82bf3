//! The naming convention of a source: `graphql-default` beside `hasura-default`.

use serde_json::{Value, json};

use super::client::Client;
use super::harness::{self, TestDb};
use super::sources::{configuration, two};
use super::{Project, SECRET, start_with};

const CAMEL: &str = "graphql-default";

const SQL: &str = "create table week_days (day_names text primary key, remark text);
    insert into week_days values ('monday', 'the first'), ('tuesday', null);
    create table app_users (user_id serial primary key, username text not null unique,
      last_seen timestamptz, favourite_day text references week_days, referred_by int references app_users,
      extra_data jsonb not null default '{}', is_active boolean not null default true, score float8 not null default 1);
    insert into app_users (username, favourite_day, referred_by) values ('ada', 'monday', null), ('ben', 'tuesday', 1);
    create table order_items (item_id serial primary key, user_id int not null references app_users,
      unit_price int not null, constraint one_price unique (user_id, unit_price));
    insert into order_items (user_id, unit_price) values (1, 5), (1, 7), (2, 2);
    create table odd_things (thing_id int primary key, some_text text);
    insert into odd_things values (1, 'x');
    create schema my_schema;
    create table my_schema.my_table (row_id int primary key, owner_id int references app_users);
    create type \"Week\" as enum ('a'); create type week as enum ('a');
    create table weeks (week_id int primary key, one week, other \"Week\");
    create function search_users(search_text text) returns setof app_users stable language sql
      as $$ select * from app_users where username like search_text $$;
    create function find_it(user_name text) returns setof app_users stable language sql
      as $$ select * from app_users where username = user_name $$;
    create function add_user(user_name text) returns setof app_users volatile language sql
      as $$ insert into app_users (username) values (user_name) returning * $$;
    create function full_name(u app_users, some_title text) returns text stable language sql
      as $$ select some_title || ' ' || u.username $$;
    create function dear_items(u app_users) returns setof order_items stable language sql
      as $$ select * from order_items where user_id = u.user_id and unit_price > 5 $$;";

/// A server over these tables, all tracked, that spells names so where nothing
/// else is said.
async fn spelled(default: &str) -> Project {
    let db = TestDb::new(SQL).await;
    let server = start_with(&db, &[("HASURA_GRAPHQL_DEFAULT_NAMING_CONVENTION", default)]);
    let project = Project { server, db, client: harness::http() };
    for table in ["week_days", "app_users", "order_items"] {
        project.done("pg_track_table", json!({"table": table})).await;
    }
    let custom = json!({"table": "odd_things", "configuration": {
        "custom_name": "odd_ones", "custom_root_fields": {"insert_one": "put_odd_one"},
        "column_config": {"some_text": {"custom_name": "The_text"}}}});
    let body = json!({"type": "pg_track_table", "version": 2, "args": custom});
    let (status, answer) = project.send(&project.server, "/v1/metadata", &body).await;
    assert_eq!(status, 200, "{answer}");
    let other = json!({"table": {"schema": "my_schema", "name": "my_table"}});
    project.done("pg_track_table", other).await;
    project.done("set_table_is_enum", json!({"table": "week_days", "is_enum": true})).await;
    let items = json!({"table": "app_users", "name": "order_items", "using":
        {"foreign_key_constraint_on": {"table": "order_items", "column": "user_id"}}});
    project.done("pg_create_array_relationship", items).await;
    let user = json!({"table": "order_items", "name": "app_user", "using":
        {"foreign_key_constraint_on": "user_id"}});
    project.done("pg_create_object_relationship", user).await;
    for field in ["full_name", "dear_items"] {
        let args = json!({"table": "app_users", "name": field, "definition": {"function": field}});
        project.done("pg_add_computed_field", args).await;
    }
    let types = json!({"objects": [{"name": "signed_up", "fields": [{"name": "user_id", "type": "Int!"}],
        "relationships": [{"name": "his_items", "type": "array", "remote_table": "order_items",
            "field_mapping": {"user_id": "user_id"}}]}]});
    project.done("set_custom_types", types).await;
    let action = json!({"name": "sign_up", "definition": {"handler": "http://127.0.0.1:1/", "kind": "synchronous",
        "arguments": [{"name": "the_mail", "type": "timestamptz"}], "output_type": "signed_up"}});
    project.done("create_action", action).await;
    project.done("pg_track_table", json!({"table": "weeks"})).await;
    for function in ["search_users", "add_user"] {
        project.done("pg_track_function", json!({"function": function})).await;
    }
    let find = json!({"function": "find_it", "configuration": {"custom_name": "find_One"}});
    let body = json!({"type": "pg_track_function", "version": 2, "args": find});
    let (status, answer) = project.send(&project.server, "/v1/metadata", &body).await;
    assert_eq!(status, 200, "{answer}");
    project
}

async fn ask(project: &Project, query: &str) -> Value {
    project.ask("admin", &[], query).await
}

/// The names of what a type has.
async fn members(project: &Project, ty: &str) -> Vec<String> {
    let query = format!(
        "{{ __type(name: \"{ty}\") {{ name fields {{ name }} inputFields {{ name }} enumValues {{ name }} }} }}"
    );
    let answer = ask(project, &query).await;
    let described = &answer["data"]["__type"];
    assert_eq!(described["name"], ty, "{answer}");
    let lists = [&described["fields"], &described["inputFields"], &described["enumValues"]];
    let entries = lists.into_iter().filter_map(Value::as_array).flatten();
    entries.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn fields_are_camels_and_types_have_capitals() {
    let project = spelled(CAMEL).await;
    let roots = members(&project, "query_root").await;
    for name in [
        "appUsers",
        "appUsersByPk",
        "appUsersAggregate",
        "mySchemaMyTable",
        "mySchemaMyTableByPk",
        "odd_ones",
        "odd_onesByPk",
        "odd_onesAggregate",
        "searchUsers",
        "searchUsersAggregate",
        "find_One",
        "find_One_aggregate",
    ] {
        assert!(roots.iter().any(|root| root == name), "{name}: {roots:?}");
    }
    let roots = members(&project, "mutation_root").await;
    for name in [
        "sign_up",
        "addUser",
        "insertAppUsers",
        "insertAppUsersOne",
        "updateAppUsers",
        "updateAppUsersByPk",
        "updateAppUsersMany",
        "deleteAppUsers",
        "deleteAppUsersByPk",
        "insertOdd_ones",
        "put_odd_one",
        "updateOdd_onesMany",
        "deleteMySchemaMyTableByPk",
    ] {
        assert!(roots.iter().any(|root| root == name), "{name}: {roots:?}");
    }
    let streams = members(&project, "subscription_root").await;
    assert!(streams.iter().any(|root| root == "appUsersStream"), "{streams:?}");

    // Relationships and computed fields keep the names that they were given.
    for (ty, expected) in [
        (
            "AppUsers",
            "dear_items,extraData,favouriteDay,full_name,isActive,lastSeen,orderItemsAggregate,\
             order_items,referredBy,score,userId,username",
        ),
        (
            "AppUsersBoolExp",
            "_and,_not,_or,dear_items,extraData,favouriteDay,isActive,lastSeen,order_items,\
             order_itemsAggregate,referredBy,score,userId,username",
        ),
        (
            "AppUsersOrderBy",
            "dear_itemsAggregate,extraData,favouriteDay,isActive,lastSeen,order_itemsAggregate,\
             referredBy,score,userId,username",
        ),
        ("odd_ones", "The_text,thingId"),
        ("odd_onesSetInput", "The_text,thingId"),
        ("OrderItemsSelectColumn", "itemId,unitPrice,userId"),
        ("OrderItemsConstraint", "one_price,order_items_pkey"),
        ("OrderItemsOnConflict", "constraint,updateColumns,where"),
        ("AppUsersObjRelInsertInput", "data,onConflict"),
        ("OrderItemsArrRelInsertInput", "data,onConflict"),
        ("OrderItemsMutationResponse", "affectedRows,returning"),
        ("OrderItemsUpdates", "_inc,_set,where"),
        (
            "OrderItemsAggregateFields",
            "avg,count,max,min,stddev,stddevPop,stddevSamp,sum,varPop,varSamp,variance",
        ),
        ("OrderItemsStddevPopFields", "itemId,unitPrice,userId"),
        ("OrderItemsVarSampOrderBy", "itemId,unitPrice,userId"),
        ("OrderItemsStreamCursorInput", "initialValue,ordering"),
        ("OrderItemsStreamCursorValueInput", "itemId,unitPrice,userId"),
        ("WeekDaysEnum", "MONDAY,TUESDAY"),
        ("WeekDaysEnumComparisonExp", "_eq,_in,_isNull,_neq,_nin"),
        ("OrderBy", "ASC,ASC_NULLS_FIRST,ASC_NULLS_LAST,DESC,DESC_NULLS_FIRST,DESC_NULLS_LAST"),
        ("CursorOrdering", "ASC,DESC"),
        ("IntComparisonExp", "_eq,_gt,_gte,_in,_isNull,_lt,_lte,_neq,_nin"),
        (
            "JsonbComparisonExp",
            "_cast,_containedIn,_contains,_eq,_gt,_gte,_hasKey,_hasKeysAll,_hasKeysAny,_in,_isNull,\
             _jsonbPathExists,_jsonbPathMatch,_lt,_lte,_neq,_nin",
        ),
        ("JsonbCastExp", "String"),
        (
            "AppUsersAggregateBoolExp",
            "avg,bool_and,bool_or,corr,count,covar_samp,max,min,stddev_samp,sum,var_samp",
        ),
        ("appUsersAggregateBoolExpCount", "arguments,distinct,filter,predicate"),
        ("appUsersAggregateBoolExpBool_and", "arguments,distinct,filter,predicate"),
        ("appUsersAggregateBoolExpCorrArguments", "X,Y"),
        ("AppUsersSelectColumnAppUsersAggregateBoolExpBool_andArgumentsColumns", "isActive"),
        ("odd_onesAggregateBoolExpCount", "arguments,distinct,filter,predicate"),
        ("searchUsersArgs", "search_text"),
        ("full_name_app_users_args", "some_title"),
        // What actions bring has the names that it was given.
        ("signed_up", "his_items,his_itemsAggregate,user_id"),
        // Two types that would be spelled alike.
        ("WeekComparisonExp", "_eq,_gt,_gte,_in,_isNull,_lt,_lte,_neq,_nin"),
        ("week_comparison_exp", "_eq,_gt,_gte,_in,_isNull,_lt,_lte,_neq,_nin"),
        (
            "AppUsersAggregateGroupKey",
            "extraData,favouriteDay,isActive,lastSeen,referredBy,score,userId,username",
        ),
    ] {
        assert_eq!(members(&project, ty).await.join(","), expected, "{ty}");
    }
    assert_eq!(members(&project, "findOneArgs").await, ["user_name"]);
    let gone = ask(
        &project,
        "{ a: __type(name: \"order_by\") { name } b: __type(name: \"Int_comparison_exp\") { name }
           c: __type(name: \"app_users\") { name } d: __type(name: \"OddOnes\") { name }
           e: __type(name: \"appusers\") { name } f: __type(name: \"timestamptz\") { name }
           g: __type(name: \"APPUSERSBOOLEXP\") { name } h: __type(name: \"WEEKDAYSENUM\") { name } }",
    )
    .await;
    assert_eq!(
        gone,
        json!({"data": {"a": null, "b": null, "c": null, "d": null, "e": null,
            "f": {"name": "timestamptz"}, "g": null, "h": null}})
    );
}

#[tokio::test]
async fn reads_and_writes_answer_under_the_names_of_the_schema() {
    let project = spelled(CAMEL).await;
    let query = "query ($where: AppUsersBoolExp!, $order: [AppUsersOrderBy!], $day: WeekDaysEnum, $by: OrderBy!) {
        appUsers(where: $where, orderBy: $order) {
          __typename userId favouriteDay full_name(args: {some_title: \"Dr.\"})
          order_items(orderBy: {unitPrice: $by}, distinctOn: [unitPrice]) { itemId app_user { username } }
          orderItemsAggregate { aggregate { count stddevPop { unitPrice } max { unitPrice } } }
          dear_items { unitPrice }
        }
        days: appUsers(where: {favouriteDay: {_eq: $day}}) { username day: favouriteDay }
        literal: appUsers(where: {favouriteDay: {_in: [TUESDAY]}, lastSeen: {_isNull: true}}) { username }
        counted: appUsers(where: {order_itemsAggregate: {count: {predicate: {_gt: 1}}}}) { username }
        ordered: appUsers(orderBy: [{order_itemsAggregate: {max: {unitPrice: DESC}}}]) { username }
        keys: appUsers(where: {extraData: {_hasKey: \"a\"}}) { username }
        appUsersAggregate { groups(by: [favouriteDay]) { key { favouriteDay } aggregate { count } } nodes { favouriteDay } }
        appUsersByPk(userId: 2) { favouriteDay referredBy }
        searchUsers(args: {search_text: \"a%\"}, orderBy: {userId: ASC}) { username }
        searchUsersAggregate(args: {search_text: \"%\"}) { aggregate { count } }
        find_One(args: {user_name: \"ben\"}) { userId }
        odd_onesByPk(thingId: 1) { The_text __typename }
      }";
    let variables = json!({
        "where": {"username": {"_eq": "ada"}, "isActive": {"_eq": true}},
        "order": [{"lastSeen": "ASC_NULLS_FIRST"}], "day": "MONDAY", "by": "ASC"});
    let body = json!({"query": query, "variables": variables});
    for _ in 0..2 {
        let (_, answer) = project.send(&project.server, "/v1/graphql", &body).await;
        let expected = json!({"data": {
            "appUsers": [{"__typename": "AppUsers", "userId": 1, "favouriteDay": "MONDAY", "full_name": "Dr. ada",
                "order_items": [{"itemId": 1, "app_user": {"username": "ada"}}, {"itemId": 2, "app_user": {"username": "ada"}}],
                "orderItemsAggregate": {"aggregate": {"count": 2, "stddevPop": {"unitPrice": 1.0}, "max": {"unitPrice": 7}}},
                "dear_items": [{"unitPrice": 7}]}],
            "days": [{"username": "ada", "day": "MONDAY"}],
            "literal": [{"username": "ben"}],
            "counted": [{"username": "ada"}],
            "ordered": [{"username": "ada"}, {"username": "ben"}],
            "keys": [],
            "appUsersAggregate": {
                "groups": [{"key": {"favouriteDay": "MONDAY"}, "aggregate": {"count": 1}},
                    {"key": {"favouriteDay": "TUESDAY"}, "aggregate": {"count": 1}}],
                "nodes": [{"favouriteDay": "MONDAY"}, {"favouriteDay": "TUESDAY"}]},
            "appUsersByPk": {"favouriteDay": "TUESDAY", "referredBy": 1},
            "searchUsers": [{"username": "ada"}],
            "searchUsersAggregate": {"aggregate": {"count": 2}},
            "find_One": [{"userId": 2}],
            "odd_onesByPk": {"The_text": "x", "__typename": "odd_ones"},
        }});
        assert_eq!(answer, expected);
    }
    // A list by itself comes another way.
    let alone =
        ask(&project, "{ appUsers(limit: 1000, orderBy: {userId: ASC}) { favouriteDay } }").await;
    let days = json!([{"favouriteDay": "MONDAY"}, {"favouriteDay": "TUESDAY"}]);
    assert_eq!(alone, json!({"data": {"appUsers": days}}));

    let insert = "mutation ($rows: [AppUsersInsertInput!]!, $day: WeekDaysEnum!) {
        insertAppUsers(objects: $rows, onConflict: {constraint: app_users_username_key, updateColumns: [favouriteDay]}) {
          affectedRows returning { username favouriteDay order_items { unitPrice } } }
        updateAppUsersByPk(pkColumns: {userId: 1}, _set: {favouriteDay: TUESDAY}, _append: {extraData: {a: {b: 1}, c: 2}}) {
          favouriteDay extraData }
        again: updateAppUsersByPk(pkColumns: {userId: 1}, _deleteAtPath: {extraData: [\"a\", \"b\"]}, _inc: {score: 1}) {
          extraData score }
        updateAppUsersMany(updates: [{where: {userId: {_eq: 1}}, _deleteKey: {extraData: \"a\"}, _set: {favouriteDay: $day}}]) {
          affectedRows returning { extraData favouriteDay } }
        addUser(args: {user_name: \"dan\"}) { username isActive }
        put_odd_one(object: {thingId: 2, The_text: \"y\"}) { thingId }
        insertOrderItemsOne(object: {unitPrice: 1, app_user: {data: {username: \"eve\", favouriteDay: MONDAY}}}) {
          app_user { favouriteDay } }
        deleteOrderItems(where: {unitPrice: {_lt: 3}}) { affectedRows }
        deleteAppUsersByPk(userId: 99) { userId }
      }";
    let rows = json!([{"username": "ben", "favouriteDay": "MONDAY"}, {"username": "cyd", "favouriteDay": "TUESDAY"}]);
    let variables = json!({"rows": rows, "day": "MONDAY"});
    let body = json!({"query": insert, "variables": variables});
    let (_, answer) = project.send(&project.server, "/v1/graphql", &body).await;
    let mut seen = answer["data"].clone();
    assert_eq!(seen["addUser"], json!([{"username": "dan", "isActive": true}]), "{answer}");
    seen.as_object_mut().unwrap().remove("addUser");
    assert_eq!(
        seen,
        json!({
            "insertAppUsers": {"affectedRows": 2, "returning": [
                {"username": "ben", "favouriteDay": "MONDAY", "order_items": [{"unitPrice": 2}]},
                {"username": "cyd", "favouriteDay": "TUESDAY", "order_items": []}]},
            "updateAppUsersByPk": {"favouriteDay": "TUESDAY", "extraData": {"a": {"b": 1}, "c": 2}},
            "again": {"extraData": {"a": {}, "c": 2}, "score": 2},
            "updateAppUsersMany": [{"affectedRows": 1, "returning": [{"extraData": {"c": 2}, "favouriteDay": "MONDAY"}]}],
            "put_odd_one": {"thingId": 2},
            "insertOrderItemsOne": {"app_user": {"favouriteDay": "MONDAY"}},
            "deleteOrderItems": {"affectedRows": 2},
            "deleteAppUsersByPk": null,
        })
    );
    // The database has the values as they are there.
    let stored =
        project.db.psql("select string_agg(distinct favourite_day, ',') from app_users").unwrap();
    assert_eq!(stored.trim(), "monday,tuesday");
}

#[tokio::test]
async fn errors_and_explanations_speak_of_the_names_of_the_schema() {
    let project = spelled(CAMEL).await;
    for (query, path, message) in [
        (
            "{ app_users { userId } }",
            "$.selectionSet.app_users",
            "field \"app_users\" not found in type: 'query_root'",
        ),
        (
            "{ appUsers { user_id } }",
            "$.selectionSet.appUsers.selectionSet.user_id",
            "field \"user_id\" not found in type: 'AppUsers'",
        ),
        (
            "{ appUsers(order_by: {userId: ASC}) { userId } }",
            "$.selectionSet.appUsers",
            "\"appUsers\" has no argument named \"order_by\"",
        ),
        (
            "{ appUsers(orderBy: {userId: asc}) { userId } }",
            "$.selectionSet.appUsers.args.orderBy[0].userId",
            "expected one of the values ASC, ASC_NULLS_FIRST, ASC_NULLS_LAST, DESC, DESC_NULLS_FIRST, or \
             DESC_NULLS_LAST for type \"OrderBy\", but found \"asc\"",
        ),
        (
            "{ appUsers(where: {favouriteDay: {_eq: monday}}) { userId } }",
            "$.selectionSet.appUsers.args.where.favouriteDay._eq",
            "expected one of the values MONDAY or TUESDAY for type \"WeekDaysEnum\", but found \"monday\"",
        ),
        (
            "{ appUsers(where: {userId: {_is_null: true}}) { userId } }",
            "$.selectionSet.appUsers.args.where.userId._is_null",
            "field \"_is_null\" not found in type: 'IntComparisonExp'",
        ),
        ("query ($where: app_users_bool_exp) { appUsers(where: $where) { userId } }", "$", ""),
        (
            "{ appUsers(orderBy: {order_itemsAggregate: {max: {unit_price: ASC}}}) { userId } }",
            "$.selectionSet.appUsers.args.orderBy[0].order_itemsAggregate.max.unit_price",
            "field \"unit_price\" not found in type: 'OrderItemsMaxOrderBy'",
        ),
        (
            "mutation { updateAppUsersByPk(pkColumns: {userId: 1}) { userId } }",
            "$.selectionSet.updateAppUsersByPk.args",
            "at least any one of _set, _inc, _prepend, _append, _deleteKey, _deleteElem, _deleteAtPath is expected",
        ),
        (
            "mutation { insertAppUsersOne(object: {username: \"x\"}, onConflict: {updateColumns: []}) { userId } }",
            "$.selectionSet.insertAppUsersOne.args.onConflict.constraint",
            "",
        ),
        (
            "mutation { updateAppUsers(where: {}, _deleteKey: {extraData: \"a\"}, _set: {extraData: 1}) { affectedRows } }",
            "$.selectionSet.updateAppUsers.args",
            "",
        ),
    ] {
        let refused = ask(&project, query).await;
        let error = &refused["errors"][0];
        assert_eq!(error["extensions"]["code"], "validation-failed", "{query}: {refused}");
        let found = error["extensions"]["path"].as_str().unwrap_or_default();
        assert!(found.starts_with(path), "{query}: {refused}");
        assert!(message.is_empty() || error["message"] == message, "{query}: {refused}");
    }
    let body = json!({"query": {"query": "{ appUsers(orderBy: {userId: ASC}) { favouriteDay } }"}});
    let (_, plan) = project.send(&project.server, "/v1/graphql/explain", &body).await;
    assert_eq!(plan[0]["field"], "appUsers", "{plan}");
}

#[tokio::test]
async fn roles_see_their_part_under_the_same_names() {
    let project = spelled(CAMEL).await;
    // Permissions name columns and relationships as the database and the metadata do.
    let permission = json!({"table": "app_users", "role": "reader", "permission": {
        "columns": ["user_id", "favourite_day"], "computed_fields": ["full_name"],
        "filter": {"favourite_day": {"_eq": "monday"}, "order_items": {"unit_price": {"_gt": 1}}}}});
    project.done("pg_create_select_permission", permission).await;
    let seen = project.ask("reader", &[], "{ appUsers { userId favouriteDay } }").await;
    assert_eq!(seen, json!({"data": {"appUsers": [{"userId": 1, "favouriteDay": "MONDAY"}]}}));
    let fields = "{ __type(name: \"AppUsers\") { fields { name } } }";
    let fields = project.ask("reader", &[], fields).await;
    let names = json!([{"name": "favouriteDay"}, {"name": "full_name"}, {"name": "userId"}]);
    assert_eq!(fields["data"]["__type"]["fields"], names);
    let hidden = project.ask("reader", &[], "{ appUsers { isActive } }").await;
    assert_eq!(hidden["errors"][0]["extensions"]["code"], "validation-failed");
}

#[tokio::test]
async fn subscriptions_and_streams() {
    let project = spelled(CAMEL).await;
    let mut client = Client::open(project.server.address, Some("graphql-transport-ws"), &[])
        .await
        .expect("is accepted");
    let init = json!({"type": "connection_init",
        "payload": {"headers": {"x-hasura-admin-secret": SECRET}}});
    client.send(init.to_string()).await;
    assert_eq!(client.json().await["type"], "connection_ack");
    let subscribe = |id: &str, query: &str| {
        json!({"id": id, "type": "subscribe", "payload": {"query": query}}).to_string()
    };
    let data = |answer: &Value| answer["payload"]["data"].clone();
    let live = "subscription { appUsers(orderBy: {userId: ASC}, limit: 1) { favouriteDay } }";
    client.send(subscribe("live", live)).await;
    let day = |day: &str| json!({"appUsers": [{"favouriteDay": day}]});
    assert_eq!(data(&client.json().await), day("MONDAY"));
    project.db.psql("update app_users set favourite_day = 'tuesday' where user_id = 1").unwrap();
    assert_eq!(data(&client.json().await), day("TUESDAY"));
    client.send(json!({"id": "live", "type": "complete"}).to_string()).await;

    let stream = "subscription { appUsersStream(batchSize: 1, cursor: [{initialValue: {userId: 0}, ordering: ASC}]) {
        userId favouriteDay } }";
    client.send(subscribe("stream", stream)).await;
    for id in 1..=2 {
        let row = json!({"userId": id, "favouriteDay": "TUESDAY"});
        assert_eq!(data(&client.json().await), json!({"appUsersStream": [row]}));
    }
    client.send(json!({"id": "stream", "type": "complete"}).to_string()).await;
    // A cursor over an enum goes on from the value that is stored.
    let days = "subscription { appUsersStream(batchSize: 9, cursor: {initialValue: {favouriteDay: MONDAY}}) {
        username } }";
    client.send(subscribe("days", days)).await;
    let first = data(&client.json().await);
    assert_eq!(first["appUsersStream"].as_array().map(Vec::len), Some(2), "{first}");
}

#[tokio::test]
async fn two_sources_may_differ() {
    let (project, _other) = two().await;
    let named = |convention: &str| {
        json!({"name": "other", "customization": {"naming_convention": convention,
        "root_fields": {"prefix": "o_", "suffix": "_x"}, "type_names": {"prefix": "O_", "suffix": "end"}}})
    };
    project.done("pg_update_source", named(CAMEL)).await;
    let query = "query ($where: O_CityBoolExpEnd = {name: {_eq: \"Rome\"}}, $by: OrderBy = DESC, $plain: order_by = desc) {
        o_City_x(where: $where, orderBy: {id: $by}) { __typename ...name }
        o_CityByPk_x(id: 1) { name }
        o_CityAggregate_x { __typename aggregate { count } }
        article(where: {id: {_is_null: false}}, order_by: {id: $plain}, limit: 1) { __typename is_published }
        a: __type(name: \"IntComparisonExp\") { inputFields { name } }
        b: __type(name: \"Int_comparison_exp\") { inputFields { name } }
        c: __type(name: \"O_CityOrderByEnd\") { name } d: __type(name: \"city\") { name }
      }
      fragment name on O_CityEnd { name }";
    let seen = ask(&project, query).await;
    let operators = |null: &str| {
        let all = ["_eq", "_gt", "_gte", "_in", null, "_lt", "_lte", "_neq", "_nin"];
        json!({"inputFields": all.map(|name| json!({"name": name}))})
    };
    assert_eq!(
        seen,
        json!({"data": {
            "o_City_x": [{"__typename": "O_CityEnd", "name": "Rome"}],
            "o_CityByPk_x": {"name": "Oslo"},
            "o_CityAggregate_x": {"__typename": "O_CityAggregateEnd", "aggregate": {"count": 2}},
            "article": [{"__typename": "article", "is_published": true}],
            "a": operators("_isNull"), "b": operators("_is_null"),
            "c": {"name": "O_CityOrderByEnd"}, "d": null,
        }})
    );
    // A type of the one convention is not the other's.
    let mixed = "query ($by: order_by) { o_City_x(orderBy: {id: $by}) { id } }";
    let refused = ask(&project, mixed).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "validation-failed", "{refused}");
    let types = "{ __schema { types { name } } }";
    let types = ask(&project, types).await["data"]["__schema"]["types"].clone();
    let mut names: Vec<&str> =
        types.as_array().unwrap().iter().map(|ty| ty["name"].as_str().unwrap()).collect();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "each name is there once");

    // The document keeps what was written, and a change is there at once.
    let exported = project.done("export_metadata", json!({})).await;
    let written =
        exported["sources"].as_array().unwrap().iter().find(|source| source["name"] == "other");
    assert_eq!(written.unwrap()["customization"], named(CAMEL)["customization"], "{exported}");
    project.done("replace_metadata", exported).await;
    project.done("pg_update_source", named("hasura-default")).await;
    let seen = ask(
        &project,
        "{ o_city_by_pk_x(id: 1) { __typename } __type(name: \"OrderBy\") { name } }",
    )
    .await;
    assert_eq!(
        seen,
        json!({"data": {"o_city_by_pk_x": {"__typename": "O_cityend"}, "__type": null}})
    );

    for (wrong, message) in [
        (
            json!("camel"),
            "naming_convention can either be \"hasura-default\" or \"graphql-default\"",
        ),
        (json!(1), ""),
        (json!(["graphql-default"]), ""),
    ] {
        let customization = json!({"naming_convention": wrong});
        let add = json!({"name": "third", "configuration": configuration(), "customization": customization});
        let update = json!({"name": "default", "customization": customization});
        for (command, args) in [("pg_add_source", add), ("pg_update_source", update)] {
            let (status, refused) = project.command(command, args).await;
            assert_eq!(status, 400, "{refused}");
            assert_eq!(refused["code"], "parse-failed", "{refused}");
            assert_eq!(refused["path"], "$.customization.naming_convention", "{refused}");
            assert!(message.is_empty() || refused["error"] == message, "{refused}");
        }
    }
    // The first source too, with a namespace, which stays as it is.
    let main = json!({"name": "default", "customization": {"naming_convention": CAMEL,
        "root_fields": {"namespace": "main_part"}}});
    project.done("pg_update_source", main).await;
    let seen = ask(&project, "{ main_part { __typename authorByPk(id: 1) { name articlesAggregate { aggregate { count } } } } }").await;
    assert_eq!(
        seen,
        json!({"data": {"main_part": {"__typename": "main_part_query",
            "authorByPk": {"name": "Ada", "articlesAggregate": {"aggregate": {"count": 2}}}}}})
    );
}

#[tokio::test]
async fn what_would_be_spelled_alike_is_told() {
    let project = spelled("hasura-default").await;
    // Under the server's default nothing changes.
    let seen = ask(&project, "{ app_users_by_pk(user_id: 1) { favourite_day } }").await;
    assert_eq!(seen, json!({"data": {"app_users_by_pk": {"favourite_day": "monday"}}}));
    let sql = "create table twice (id int primary key, some_name text, \"someName\" text);
        insert into week_days values ('MONDAY', null);";
    project.sql(sql).await;
    project.done("reload_metadata", json!({})).await;
    project.done("pg_track_table", json!({"table": "twice"})).await;
    let camel = json!({"name": "default", "customization": {"naming_convention": CAMEL}});
    let (status, refused) = project.command("pg_update_source", camel).await;
    assert_eq!(status, 400, "{refused}");
    let told = refused.to_string();
    assert!(told.contains("two columns have the GraphQL name \\\"someName\\\""), "{told}");
    assert!(told.contains("are the same in upper case"), "{told}");
    let seen = ask(&project, "{ twice { some_name someName } }").await;
    assert_eq!(seen, json!({"data": {"twice": []}}));
}

#[tokio::test]
async fn no_two_types_have_one_name() {
    let project = spelled(CAMEL).await;
    let sql = "create function find_one(n int) returns setof app_users stable language sql
          as $$ select * from app_users where user_id = n $$;
        create table my_schema.hues (hue text primary key); insert into my_schema.hues values ('red');
        create table more_hues (hue text primary key); insert into more_hues values ('blue');";
    project.sql(sql).await;
    project.done("reload_metadata", json!({})).await;
    let (status, refused) =
        project.command("pg_track_function", json!({"function": "find_one"})).await;
    assert_eq!(status, 400, "{refused}");
    assert!(
        refused.to_string().contains("type name \\\"findOneArgs\\\" is used already"),
        "{refused}"
    );

    let hues = json!({"schema": "my_schema", "name": "hues"});
    project.done("pg_track_table", json!({"table": hues})).await;
    project.done("set_table_is_enum", json!({"table": hues, "is_enum": true})).await;
    let more = json!({"table": "more_hues", "configuration": {"custom_name": "my_schema_hues"}});
    let body = json!({"type": "pg_track_table", "version": 2, "args": more});
    let (status, answer) = project.send(&project.server, "/v1/metadata", &body).await;
    assert_eq!(status, 200, "{answer}");
    let (status, refused) =
        project.command("set_table_is_enum", json!({"table": "more_hues", "is_enum": true})).await;
    assert_eq!(status, 400, "{refused}");
    let told = refused.to_string();
    assert!(told.contains("\\\"MySchemaHuesEnumComparisonExp\\\" is used already"), "{told}");
}

#[tokio::test]
async fn without_metadata_the_default_holds() {
    let db = TestDb::new(SQL).await;
    let server = start_with(&db, &[("HASURA_GRAPHQL_DEFAULT_NAMING_CONVENTION", CAMEL)]);
    let project = Project { server, db, client: harness::http() };
    // Relationships have no names of anyone's here.
    let seen = ask(
        &project,
        "{ orderItemsByPk(itemId: 1) { user { orderItems(orderBy: {itemId: ASC}) { unitPrice } weekDays { dayNames } } } }",
    )
    .await;
    assert_eq!(
        seen,
        json!({"data": {"orderItemsByPk": {"user": {
            "orderItems": [{"unitPrice": 5}, {"unitPrice": 7}], "weekDays": {"dayNames": "monday"}}}}})
    );
}

#[tokio::test]
async fn a_source_that_cannot_have_its_names_shows_nothing() {
    let (project, _other) = two().await;
    let mut metadata = project.done("export_metadata", json!({})).await;
    metadata["sources"][0]["customization"] =
        json!({"naming_convention": CAMEL, "type_names": {"prefix": "no-name"}});
    let args = json!({"allow_inconsistent_metadata": true, "metadata": metadata});
    let body = json!({"type": "replace_metadata", "version": 2, "args": args});
    let (status, answer) = project.send(&project.server, "/v1/metadata", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["is_consistent"], false, "{answer}");
    for plain in ["{ article { id } }", "{ article(orderBy: {id: ASC}) { id } }"] {
        let refused = ask(&project, plain).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "validation-failed", "{refused}");
    }
    let seen = ask(&project, "{ city(order_by: {id: asc}, limit: 1) { name } }").await;
    assert_eq!(seen, json!({"data": {"city": [{"name": "Oslo"}]}}));
}
