//! Operators by type, written down by hand, and what to compare with.

use serde_json::Value as Json;

use super::generate::{Generator, Node, Value};
use super::model::{Column, Kind, LABELS, Table};

const EQUALITY: [&str; 4] = ["_eq", "_neq", "_in", "_nin"];
const ORDER: [&str; 4] = ["_gt", "_gte", "_lt", "_lte"];
const TEXT: [&str; 10] = [
    "_like",
    "_nlike",
    "_ilike",
    "_nilike",
    "_similar",
    "_nsimilar",
    "_regex",
    "_nregex",
    "_iregex",
    "_niregex",
];

/// The operators of a scalar.
pub fn operators(scalar: &str) -> Vec<&'static str> {
    let compared: &[&[&str]] = match scalar {
        "json" | "point" => &[],
        "raster" => &[&[
            "_eq",
            "_in",
            "_st_intersects_rast",
            "_st_intersects_nband_geom",
            "_st_intersects_geom_nband",
        ]],
        "String" | "bpchar" | "citext" => &[&EQUALITY, &ORDER, &TEXT],
        "jsonb" => &[
            &EQUALITY,
            &ORDER,
            &["_contains", "_contained_in", "_has_key", "_has_keys_any", "_has_keys_all"],
            &["_jsonb_path_exists", "_jsonb_path_match", "_cast"],
        ],
        "ltree" => &[
            &EQUALITY,
            &ORDER,
            &["_ancestor", "_ancestor_any", "_descendant", "_descendant_any"],
            &["_matches", "_matches_any", "_matches_fulltext"],
        ],
        // Of PostGIS' types, Postgres has no operator for what is not equal.
        "geometry" => &[
            &["_eq", "_in"],
            &ORDER,
            &["_st_contains", "_st_crosses", "_st_equals", "_st_intersects", "_st_overlaps"],
            &["_st_touches", "_st_within", "_st_3d_intersects", "_st_d_within", "_st_3d_d_within"],
            &["_cast"],
        ],
        "geography" => &[&["_eq", "_in"], &ORDER, &["_st_intersects", "_st_d_within", "_cast"]],
        array if array.starts_with('_') => &[&EQUALITY, &ORDER, &["_contains", "_contained_in"]],
        _ => &[&EQUALITY, &ORDER],
    };
    std::iter::once("_is_null")
        .chain(compared.iter().flat_map(|some| some.iter().copied()))
        .collect()
}

/// Places that meet those of the rows in every way.
const SHAPES: [&str; 16] = [
    r#"{"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]}"#,
    r#"{"type": "Polygon", "coordinates": [[[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]]}"#,
    r#"{"type": "Polygon", "coordinates": [[[-9, -9], [19, -9], [19, 9], [-9, 9], [-9, -9]], [[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]]]}"#,
    r#"{"type": "Polygon", "coordinates": [[[13, 52], [13.45, 52], [13.45, 53], [13, 53], [13, 52]]]}"#,
    r#"{"type": "Polygon", "coordinates": []}"#,
    r#"{"type": "Point", "coordinates": [2, 2]}"#,
    r#"{"type": "Point", "coordinates": [2, 2, 5]}"#,
    r#"{"type": "Point", "coordinates": [13.4, 52.5]}"#,
    r#"{"type": "Point", "coordinates": [0.1, 0.30000000000000004]}"#,
    r#"{"type": "Point", "coordinates": []}"#,
    r#"{"type": "LineString", "coordinates": [[-1, 2], [5, 2]]}"#,
    r#"{"type": "LineString", "coordinates": [[2, -1, 1], [2, 5, 1.5]]}"#,
    r#"{"type": "MultiPoint", "coordinates": [[1, 1], [7, 7]]}"#,
    r#"{"type": "MultiLineString", "coordinates": [[[0, 0], [4, 0]], [[4, 0], [4, 4]]]}"#,
    r#"{"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]], [[[2, 2], [3, 2], [3, 3], [2, 3], [2, 2]]]]}"#,
    r#"{"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 1]}, {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}]}"#,
];

/// The same as text, which PostGIS reads too.
const WRITTEN: [&str; 3] = [
    "SRID=4326;POINT(2 2)",
    "SRID=4326;POLYGON((0 0,4 0,4 4,0 4,0 0))",
    "SRID=4326;POINT(13.4 52.5)",
];

impl<'a> Generator<'a> {
    pub(super) fn comparison(&mut self, table: &Table, column: &Column) -> Value {
        let all = operators(column.scalar);
        let mut chosen: Vec<&str> = Vec::new();
        for _ in 0..1 + usize::from(self.random.chance(15)) {
            let often = all.contains(&"_eq") && self.random.chance(20);
            let op = if often { "_eq" } else { *self.random.pick(&all) };
            if !chosen.contains(&op) {
                chosen.push(op);
            }
        }
        self.compared(table, column, &chosen)
    }

    /// A comparison by some operators.
    pub(super) fn compared(&mut self, table: &Table, column: &Column, ops: &[&str]) -> Value {
        let entries =
            ops.iter().map(|op| ((*op).to_owned(), self.right(table, column, op))).collect();
        self.value(format!("{}_comparison_exp", column.scalar), Node::Object(entries), 10)
    }

    /// What an operator compares with.
    fn right(&mut self, table: &Table, column: &Column, op: &str) -> Value {
        let scalar = column.scalar;
        match op {
            "_is_null" => {
                let word = self.random.chance(50).to_string();
                self.value("Boolean", Node::Leaf(word), 30)
            }
            "_in" | "_nin" | "_ancestor_any" | "_descendant_any" => {
                let n = self.random.below(5);
                let items = (0..n).map(|_| self.operand(table, column)).collect();
                self.value(format!("[{scalar}!]"), Node::List(items), 40)
            }
            "_like" | "_nlike" | "_ilike" | "_nilike" | "_similar" | "_nsimilar" => {
                let pattern = self.pattern(table, column, op.contains("similar"));
                self.value(scalar, Node::Leaf(pattern), 40)
            }
            "_regex" | "_nregex" | "_iregex" | "_niregex" => {
                let pattern = self.regex(table, column);
                self.value(scalar, Node::Leaf(pattern), 40)
            }
            "_contains" | "_contained_in" if scalar == "jsonb" => {
                let parts =
                    ["{}", "[]", "[1]", "{\"a\": 1}", "{\"b\": {\"c\": [2]}}", "\"text\"", "1"];
                match self.random.chance(50) {
                    true => self.operand(table, column),
                    false => {
                        let text = (*self.random.pick::<&str>(&parts)).to_owned();
                        self.json(scalar, &text)
                    }
                }
            }
            "_has_key" => self.key(),
            "_has_keys_any" | "_has_keys_all" => {
                let some = (0..self.random.below(3)).map(|_| self.key()).collect();
                self.value("[String!]", Node::List(some), 30)
            }
            "_jsonb_path_exists" | "_jsonb_path_match" => {
                let paths = [
                    "$.a",
                    "$.b.c[*] ? (@ > 1)",
                    "$[*] ? (@ == \"x\")",
                    "$.a == 1",
                    "exists($.b)",
                    "$[0] == 1",
                    "lax $.a[1]",
                ];
                let path = Json::from(*self.random.pick::<&str>(&paths)).to_string();
                self.value("String", Node::Leaf(path), 40)
            }
            "_cast" => {
                let (target, kind) = match scalar {
                    "jsonb" => ("String", Kind::Text),
                    "geometry" => ("geography", Kind::Told),
                    _ => ("geometry", Kind::Told),
                };
                let mut known = self.known_of(table, column);
                if target == "String" {
                    known = known.into_iter().map(|text| Json::from(text).to_string()).collect();
                }
                let read = Column { name: column.name, kind, scalar: target, known };
                let inner = match self.random.chance(90) {
                    // One cast in another is not what is compared here.
                    true => loop {
                        let op = *self.random.pick(&operators(target));
                        if op != "_cast" {
                            break self.compared(table, &read, &[op]);
                        }
                    },
                    false => {
                        self.value(format!("{target}_comparison_exp"), Node::Object(Vec::new()), 10)
                    }
                };
                let cast = Node::Object(vec![(target.to_owned(), inner)]);
                self.value(format!("{scalar}_cast_exp"), cast, 10)
            }
            "_matches" => self.query("lquery"),
            "_matches_any" => {
                let some = (0..self.random.below(4)).map(|_| self.query("lquery")).collect();
                self.value("[lquery!]", Node::List(some), 40)
            }
            "_matches_fulltext" => self.query("ltxtquery"),
            "_st_d_within" | "_st_3d_d_within" => self.within(table, column),
            "_st_intersects_nband_geom" | "_st_intersects_geom_nband" => self.band(op),
            _ => self.operand(table, column),
        }
    }

    fn key(&mut self) -> Value {
        let key = format!("\"{}\"", self.random.pick(&["a", "b", "c", "x", "y"]));
        self.value("String", Node::Leaf(key), 25)
    }

    /// JSON, as a variable or spelled out.
    fn json(&mut self, ty: &str, text: &str) -> Value {
        let mut out = spelled(ty, &serde_json::from_str(text).expect("JSON"));
        out.variable = self.random.chance(40);
        // Numbers of a place may be variables by themselves.
        if ty != "jsonb" && self.random.chance(15) {
            out.variable = false;
            let mut numbers = Vec::new();
            numbers_of(&mut out, &mut numbers);
            if !numbers.is_empty() {
                let chosen = self.random.below(numbers.len());
                numbers[chosen].variable = true;
            }
        }
        out
    }

    fn place(&mut self, table: &Table, column: &Column, scalar: &str) -> Value {
        if self.random.chance(15) {
            let text = Json::from(*self.random.pick::<&str>(&WRITTEN)).to_string();
            return self.value(scalar, Node::Leaf(text), 40);
        }
        let known = if self.random.chance(40) { self.known(table, column) } else { None };
        let text = match known.filter(|_| column.is_place()) {
            Some(known) => known,
            None => (*self.random.pick::<&str>(&SHAPES)).to_owned(),
        };
        self.json(scalar, &text)
    }

    /// `{distance: 1, from: {…}}`
    fn within(&mut self, table: &Table, column: &Column) -> Value {
        let globe = column.scalar == "geography";
        // Some places of the rows are between them on a sphere and on a spheroid.
        let (near, far) = ("6780", "5.705e6");
        let distances: &[&str] = match globe {
            true => &["0", "100.5", near, near, near, far, far, far, "500000"],
            false => &["0", "0.5", "1.25", "3", "100"],
        };
        let distance = *self.random.pick::<&str>(distances);
        let from = match distance == near || distance == far {
            true => self.json(column.scalar, r#"{"type": "Point", "coordinates": [13.5, 52.5]}"#),
            false => self.place(table, column, column.scalar),
        };
        let distance = self.value("Float", Node::Leaf(distance.to_owned()), 30);
        let mut entries = vec![("distance".to_owned(), distance), ("from".to_owned(), from)];
        if self.random.chance(30) {
            entries.reverse();
        }
        if globe && self.random.chance(80) {
            let word = *self.random.pick(&["true", "false", "false", "false", "null"]);
            let word = self.value("Boolean", Node::Leaf(word.to_owned()), 30);
            entries.push(("use_spheroid".to_owned(), word));
        }
        let ty = if globe { "st_d_within_geography_input" } else { "st_d_within_input" };
        self.value(ty, Node::Object(entries), 25)
    }

    /// `{geommin: {…}, nband: 1}`
    fn band(&mut self, op: &str) -> Value {
        let text = *self.random.pick::<&str>(&SHAPES);
        let mut entries = vec![("geommin".to_owned(), self.json("geometry", text))];
        let band = match op {
            "_st_intersects_geom_nband" if self.random.chance(40) => None,
            "_st_intersects_geom_nband" if self.random.chance(20) => Some("null"),
            _ => Some(*self.random.pick(&["1", "2", "2", "3"])),
        };
        if let Some(band) = band {
            entries.push(("nband".to_owned(), self.value("Int", Node::Leaf(band.to_owned()), 30)));
        }
        self.value(format!("{}_input", &op[1..]), Node::Object(entries), 25)
    }

    /// A path near those of the rows.
    fn path(&mut self, table: &Table, column: &Column) -> String {
        let known = self.known(table, column).unwrap_or_default();
        let mut labels = super::labels::of_json(if known.is_empty() { "\"\"" } else { &known });
        match self.random.below(6) {
            0 => {
                labels.pop();
            }
            1 => labels.truncate(1),
            2 => labels.push("x".to_owned()),
            _ => {}
        }
        // An empty path is none that a caller can send.
        let path = if labels.is_empty() { "top".to_owned() } else { labels.join(".") };
        Json::from(path).to_string()
    }

    fn query(&mut self, ty: &str) -> Value {
        let text = match ty {
            "lquery" => self.lquery(),
            _ => self.ltxtquery(2),
        };
        self.value(ty, Node::Leaf(Json::from(text).to_string()), 40)
    }

    fn word(&mut self) -> String {
        let words =
            ["top", "TOP", "a", "b", "foo_bar", "bar", "fo", "c", "x", "long", "12", "_x", "z_y"];
        let mut word = (*self.random.pick::<&str>(&words)).to_owned();
        for modifier in ['@', '*', '%'] {
            if self.random.chance(20) {
                word.push(modifier);
            }
        }
        word
    }

    fn lquery(&mut self) -> String {
        let n = 1 + self.random.below(4);
        let items: Vec<String> = (0..n)
            .map(|_| {
                let mut item = String::new();
                if self.random.chance(40) {
                    item.push('*');
                } else {
                    if self.random.chance(15) {
                        item.push('!');
                    }
                    item.push_str(&self.word());
                    while self.random.chance(25) {
                        item.push('|');
                        item.push_str(&self.word());
                    }
                }
                if self.random.chance(20) {
                    item.push_str(
                        self.random.pick::<&str>(&["{1}", "{0,1}", "{1,}", "{,2}", "{2,3}"]),
                    );
                }
                item
            })
            .collect();
        items.join(".")
    }

    fn ltxtquery(&mut self, depth: usize) -> String {
        match self.random.below(if depth == 0 { 1 } else { 4 }) {
            1 => format!("!{}", self.ltxtquery(0)),
            2 => format!("{} & {}", self.ltxtquery(depth - 1), self.ltxtquery(depth - 1)),
            3 => format!("({} | {})", self.ltxtquery(depth - 1), self.ltxtquery(depth - 1)),
            _ => self.word(),
        }
    }

    /// A regular expression of plain characters, dots and anchors.
    fn regex(&mut self, table: &Table, column: &Column) -> String {
        let whole = self.text(table, column);
        let chars: Vec<char> = whole.chars().collect();
        let start = if self.random.chance(50) { 0 } else { self.random.below(chars.len()) };
        let mut out = if self.random.chance(40) { "^".to_owned() } else { String::new() };
        for c in chars.iter().skip(start).take(1 + self.random.below(5)) {
            if self.random.chance(15) || !(c.is_alphanumeric() || *c == ' ') {
                out.push('.');
            } else if self.random.chance(10) {
                out.extend(c.to_uppercase().take(1));
            } else {
                out.push(*c);
            }
        }
        if self.random.chance(25) {
            out.push('$');
        }
        Json::from(out).to_string()
    }

    fn known_of(&self, table: &Table, column: &Column) -> Vec<String> {
        // A cast brings its own.
        if !column.known.is_empty() {
            return column.known.clone();
        }
        self.known[table.name].column(column.name).expect("a column").known.clone()
    }

    /// A value that some row has.
    fn known(&mut self, table: &Table, column: &Column) -> Option<String> {
        let all = self.known_of(table, column);
        if all.is_empty() { None } else { Some(self.random.pick(&all).clone()) }
    }

    /// The text of one.
    fn text(&mut self, table: &Table, column: &Column) -> String {
        match self.known(table, column) {
            Some(known) => serde_json::from_str(&known).expect("a string"),
            None => "abc".to_owned(),
        }
    }

    pub(super) fn operand(&mut self, table: &Table, column: &Column) -> Value {
        let scalar = column.scalar;
        if column.is_place() {
            return self.place(table, column, scalar);
        }
        if column.kind == Kind::Path {
            let path = self.path(table, column);
            return self.value(scalar, Node::Leaf(path), 30);
        }
        if scalar == "_int4" && self.random.chance(50) {
            let all: Vec<String> =
                (0..self.random.below(4)).map(|_| self.random.below(5).to_string()).collect();
            return self.value(scalar, Node::Leaf(format!("[{}]", all.join(", "))), 40);
        }
        let often = if scalar == "raster" || self.random.chance(85) {
            self.known(table, column)
        } else {
            None
        };
        let text = match (often, column.kind) {
            (Some(known), _) => known,
            (None, Kind::Int) => (i64::try_from(self.random.below(60)).unwrap() - 5).to_string(),
            (None, Kind::Decimal) => format!("{}.{}", self.random.below(9), self.random.below(99)),
            (None, Kind::Bool) => self.random.chance(50).to_string(),
            (None, Kind::Label) => format!("\"{}\"", self.random.pick::<&str>(&LABELS)),
            (None, Kind::Plain | Kind::Told | Kind::Ints | Kind::Json | Kind::Path) => {
                self.sample(scalar)
            }
            (None, Kind::Text) => {
                let texts =
                    ["", "a", "Write", "it's \"odd\" \\ $1 -- '); select", "Ü", "\u{1f600}"];
                Json::from(*self.random.pick::<&str>(&texts)).to_string()
            }
        };
        if scalar == "jsonb" {
            return self.json(scalar, &text);
        }
        self.value(scalar, Node::Leaf(text), 30)
    }

    /// A value that no row need have.
    fn sample(&mut self, scalar: &str) -> String {
        let samples: &[&str] = match scalar {
            "uuid" => &["\"00000000-0000-4000-8000-000000000000\""],
            "date" => &["\"2024-01-03\"", "\"2024-02-29\"", "\"-infinity\""],
            "timestamptz" | "timestamp" => &["\"2024-01-01T02:30:00+00:00\"", "\"infinity\""],
            "time" => &["\"12:34:56.789\"", "\"00:00\""],
            "interval" => &["\"1 day\"", "\"25:00\"", "\"-3 mons\""],
            "numeric" => &["0", "1.5", "2.142857142857142857142857", "1e3", "\"NaN\""],
            "Float" => &["0", "0.1", "2.5", "-1e-7"],
            "float8" => &["0", "0.1", "2.5", "-1e-7", "\"NaN\""],
            "money" => &["0", "12.34", "\"$1.00\""],
            "bytea" => &["\"\\\\x00ff\"", "\"\\\\xdeadbeef\""],
            "address" => &["\"(Main,12345)\"", "\"(,)\"", "\"(\\\"A \\\"\\\"b\\\"\\\", c\\\",1)\""],
            "inet" => &["\"10.0.0.0/8\"", "\"::1\""],
            "int4range" => &["\"[1,5)\"", "\"empty\"", "\"(,3]\""],
            "varbit" => &["\"10101\"", "\"\""],
            "tsvector" => &["\"fat cat\"", "\"\""],
            "bpchar" | "citext" => &["\"ab\"", "\"ab   \"", "\"\"", "\"aDa\""],
            "_int4" => &["[]", "[1, null]"],
            "_text" => {
                &["[]", "[\"a b\", \"c\\\"d\"]", "[\"a\", null]", "[\"NULL\", \"{}\", \"\"]"]
            }
            "_task_status" => &["[]", "[\"todo\", \"done\"]", "[\"doing\"]"],
            "jsonb" => &["{}", "true", "{\"a\": 1}", "[1, \"x\", {\"y\": 2}]"],
            _ => panic!("no sample of {scalar}"),
        };
        (*self.random.pick::<&str>(samples)).to_owned()
    }

    /// A pattern of LIKE; for SIMILAR TO without what it gives another meaning.
    fn pattern(&mut self, table: &Table, column: &Column, similar: bool) -> String {
        let whole = self.text(table, column);
        let mut out = String::new();
        for c in whole.chars() {
            match self.random.below(12) {
                0 => out.push('%'),
                1 => out.push('_'),
                2 if c.is_ascii_alphabetic() && c.is_lowercase() => {
                    out.push(c.to_ascii_uppercase())
                }
                _ if matches!(c, '%' | '_' | '\\') && self.random.chance(70) => {
                    out.push('\\');
                    out.push(c);
                }
                _ if c == '\\' => out.push_str("\\\\"),
                _ => out.push(c),
            }
            if self.random.chance(12) {
                out.push('%');
                break;
            }
        }
        if self.random.chance(25) {
            out.push('%');
        }
        if similar {
            out.retain(|c| c.is_alphanumeric() || matches!(c, '%' | '_' | ' '));
        }
        Json::from(out).to_string()
    }
}

/// JSON as a value that GraphQL can spell out.
pub fn spelled(ty: &str, json: &Json) -> Value {
    let node = match json {
        Json::Object(map) => {
            Node::Object(map.iter().map(|(key, value)| (key.clone(), spelled("", value))).collect())
        }
        Json::Array(items) => Node::List(items.iter().map(|item| spelled("", item)).collect()),
        other => Node::Leaf(other.to_string()),
    };
    let ty = match (ty, json) {
        ("", Json::Number(_)) => "Float",
        ("", _) => "jsonb",
        (ty, _) => ty,
    };
    Value { ty: ty.to_owned(), node, variable: false }
}

fn numbers_of<'b>(value: &'b mut Value, out: &mut Vec<&'b mut Value>) {
    if matches!(value.node, Node::Leaf(_)) && value.ty == "Float" {
        out.push(value);
        return;
    }
    match &mut value.node {
        Node::Object(entries) => entries.iter_mut().for_each(|(_, value)| numbers_of(value, out)),
        Node::List(items) => items.iter_mut().for_each(|item| numbers_of(item, out)),
        Node::Leaf(_) | Node::Word(_) => {}
    }
}
