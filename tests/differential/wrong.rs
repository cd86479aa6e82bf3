//! What does not belong on the right side of an operator, wherever it stands.

use serde_json::{Value as Json, json};

use super::generate::{Field, Item, Operation, Value};
use super::model::Column;
use super::operands::{operators, spelled};

/// A mistake of a caller, in an operation and by itself.
pub struct Mistake {
    pub operation: Operation,
    /// Where it is told.
    pub place: String,
    pub shown: String,
}

/// Every operator of a column of the table `sites` with what it does not take,
/// in every position and sent in every way.
pub fn mistakes(column: &Column) -> Vec<Mistake> {
    let mut out = Vec::new();
    for op in operators(column.scalar) {
        for (value, within) in wrong(column.scalar, op) {
            for (root, filter, place) in positions(column.name, json!({op: value})) {
                for variable in [false, true] {
                    let place = format!("$.selectionSet.{root}.args.where{place}.{op}{within}");
                    let mut given = spelled(&format!("{root}_bool_exp"), &filter);
                    given.variable = variable;
                    out.push(Mistake {
                        operation: operation(root, given),
                        place,
                        shown: format!("{} {op} {value}", column.scalar),
                    });
                }
            }
        }
    }
    out
}

fn operation(root: &str, filter: Value) -> Operation {
    let field = |name: &str, args, items| {
        Item::Field(Field { alias: None, name: name.to_owned(), args, items, condition: None })
    };
    let id = field("id", Vec::new(), Vec::new());
    let roots = vec![field(root, vec![("where".to_owned(), filter)], vec![id])];
    Operation { roots, fragments: Vec::new() }
}

/// Conditions on a column of `sites`: the root, the whole and where it stands.
fn positions(column: &str, compared: Json) -> Vec<(&'static str, Json, String)> {
    let own = json!({column: compared});
    vec![
        ("sites", own.clone(), format!(".{column}")),
        ("sites", json!({"_not": own}), format!("._not.{column}")),
        ("sites", json!({"_and": [{}, own]}), format!("._and[1].{column}")),
        ("sites", json!({"_or": [{"_not": own}]}), format!("._or[0]._not.{column}")),
        ("sites", json!({"parent": own}), format!(".parent.{column}")),
        ("users", json!({"sites": own}), format!(".sites.{column}")),
        (
            "users",
            json!({"sites_aggregate": {"count": {"filter": own, "predicate": {"_gt": 0}}}}),
            format!(".sites_aggregate.count.filter.{column}"),
        ),
    ]
}

/// What an operator refuses, and where in it the mistake is.
fn wrong(scalar: &str, op: &str) -> Vec<(Json, &'static str)> {
    let point = json!({"type": "Point", "coordinates": [1, 2]});
    let whole = |values: Vec<Json>| values.into_iter().map(|value| (value, "")).collect();
    match op {
        "_is_null" => whole(vec![json!(null), json!(5), json!("perhaps"), json!({}), json!([])]),
        "_in" | "_nin" | "_ancestor_any" | "_descendant_any" => many(scalar),
        "_matches_any" => many("lquery"),
        "_matches" => scalars("lquery"),
        "_matches_fulltext" => scalars("ltxtquery"),
        "_cast" if scalar == "geometry" => vec![
            (json!(null), ""),
            (json!(5), ""),
            (json!({"Int": {"_eq": 5}}), ".Int"),
            (json!({"geometry": {"_eq": point}}), ".geometry"),
            (json!({"geography": null}), ".geography"),
            (json!({"geography": {"_st_within": point}}), ".geography._st_within"),
            (
                json!({"geography": {"_st_intersects": {"type": "Circle"}}}),
                ".geography._st_intersects",
            ),
        ],
        "_cast" => vec![
            (json!([]), ""),
            (json!({"String": {"_eq": "x"}}), ".String"),
            (json!({"geography": {"_eq": point}}), ".geography"),
            (json!({"geometry": 5}), ".geometry"),
            (json!({"geometry": {"_st_within": {"type": "Point"}}}), ".geometry._st_within"),
        ],
        "_st_d_within" | "_st_3d_d_within" => vec![
            (json!(null), ""),
            (json!(5), ""),
            (json!([]), ""),
            (json!({}), ""),
            (json!({"from": point}), ""),
            (json!({"distance": 1}), ""),
            (json!({"distance": null, "from": point}), ".distance"),
            (json!({"distance": true, "from": point}), ".distance"),
            (json!({"distance": 1, "from": null}), ".from"),
            (json!({"distance": 1, "from": {"type": "Circle", "coordinates": [1, 2]}}), ".from"),
            (json!({"distance": 1, "from": point, "to": point}), ".to"),
        ],
        "_st_intersects_nband_geom" | "_st_intersects_geom_nband" => {
            let mut out = vec![
                (json!(null), ""),
                (json!(5), ""),
                (json!([]), ""),
                (json!({}), ""),
                (json!({"nband": 1}), ""),
                (json!({"nband": 1.5, "geommin": point}), ".nband"),
                (json!({"nband": 1, "geommin": null}), ".geommin"),
                (json!({"nband": 1, "geommin": {"type": "Point"}}), ".geommin"),
                (json!({"nband": 1, "geommin": point, "band": 1}), ".band"),
            ];
            if op == "_st_intersects_nband_geom" {
                out.push((json!({"nband": null, "geommin": point}), ".nband"));
                out.push((json!({"geommin": point}), ""));
            }
            out
        }
        _ => scalars(scalar),
    }
}

/// What is no value of a type.
fn scalars(ty: &str) -> Vec<(Json, &'static str)> {
    let mut out = vec![json!(null), json!(5), json!(true), json!({}), json!([])];
    out.extend(match ty {
        "ltree" => vec![json!(""), json!("a..b"), json!(".a")],
        "raster" => vec![json!("xyz"), json!("0")],
        "geometry" | "geography" => vec![
            json!({"type": "Circle", "coordinates": [1, 2]}),
            json!({"type": "Point"}),
            json!({"type": "Point", "coordinates": ["1", "2"]}),
            json!({"type": "Point", "coordinates": [1]}),
            json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}),
            json!({"type": "GeometryCollection", "geometries": [{"type": "Feature"}]}),
        ],
        _ => Vec::new(),
    });
    out.into_iter().map(|value| (value, "")).collect()
}

/// What is no list of values of a type.
fn many(ty: &str) -> Vec<(Json, &'static str)> {
    let items = scalars(ty).into_iter().map(|(value, _)| (json!([value]), "[0]"));
    std::iter::once((json!(null), "")).chain(items).collect()
}
