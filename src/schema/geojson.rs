//! GeoJSON → the text that PostGIS reads as `geometry` and as `geography`
//! (EWKT), so that places travel as parameters like all other values.
//!
//! RFC 7946, with the `crs` member of its predecessor, which Hasura takes too.
//! Without one a place is in degrees on WGS 84.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// EPSG's number of WGS 84.
const WGS_84: u32 = 4326;
/// How deep collections nest.
const MAX_DEPTH: usize = 16;

/// What is wrong with a geometry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotGeoJson(String);

type Result<T> = std::result::Result<T, NotGeoJson>;

fn wrong<T>(message: impl Into<String>) -> Result<T> {
    Err(NotGeoJson(message.into()))
}

/// The EWKT of a geometry object.
pub(crate) fn ewkt(json: &Value) -> Result<String> {
    let Value::Object(object) = json else {
        return wrong("a GeoJSON geometry is an object with \"type\" and \"coordinates\"");
    };
    let mut writer = Writer { out: format!("SRID={};", crs(object)?), dimensions: None };
    writer.geometry(object, 0)?;
    Ok(writer.out)
}

/// The EWKT of the JSON text of a geometry object.
pub(crate) fn ewkt_of_text(text: &str) -> Result<String> {
    match serde_json::from_str(text) {
        Ok(json) => ewkt(&json),
        // The text is JSON; what is left is a number too large or lists too deep.
        Err(error) => wrong(format!("no GeoJSON geometry: {error}")),
    }
}

/// `{"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4326"}}`
fn crs(object: &Map<String, Value>) -> Result<u32> {
    let Some(crs) = object.get("crs").filter(|crs| !crs.is_null()) else { return Ok(WGS_84) };
    let name = crs.pointer("/properties/name").and_then(Value::as_str);
    let Some(name) = name else {
        return wrong("\"crs\" needs the name of a reference system in \"properties\"");
    };
    let (authority, code) = name.rsplit_once(':').unwrap_or(("", name));
    if code == "CRS84" {
        return Ok(WGS_84);
    }
    match code.parse() {
        Ok(number) if authority.split(':').any(|part| part == "EPSG") => Ok(number),
        _ => wrong(format!("the reference system \"{name}\" is not known; name one of EPSG")),
    }
}

/// EWKT under construction.
struct Writer {
    out: String,
    /// How many numbers the positions have.
    dimensions: Option<usize>,
}

impl Writer {
    fn geometry(&mut self, object: &Map<String, Value>, depth: usize) -> Result<()> {
        let Some(ty) = object.get("type").and_then(Value::as_str) else {
            return wrong("a GeoJSON geometry needs a \"type\"");
        };
        // How many lists are around a position.
        let (word, lists) = match ty {
            "Point" => ("POINT", 0),
            "LineString" => ("LINESTRING", 1),
            "MultiPoint" => ("MULTIPOINT", 1),
            "Polygon" => ("POLYGON", 2),
            "MultiLineString" => ("MULTILINESTRING", 2),
            "MultiPolygon" => ("MULTIPOLYGON", 3),
            "GeometryCollection" => return self.collection(object, depth),
            _ => return wrong(format!("\"{ty}\" is no type of GeoJSON geometries")),
        };
        let Some(Value::Array(coordinates)) = object.get("coordinates") else {
            return wrong(format!("a {ty} needs a list of \"coordinates\""));
        };
        self.out.push_str(word);
        if coordinates.is_empty() {
            self.out.push_str(" EMPTY");
            return Ok(());
        }
        if lists == 0 {
            self.out.push('(');
            self.position(coordinates)?;
            self.out.push(')');
            return Ok(());
        }
        self.within(ty, coordinates, lists)
    }

    /// `(…, …)` around the items of a list, `lists` lists above the positions.
    fn within(&mut self, ty: &str, items: &[Value], lists: usize) -> Result<()> {
        // PostGIS has only a fault of its own to say of these.
        if lists == 1
            && ty.ends_with("Polygon")
            && (items.len() < 4 || items.first() != items.last())
        {
            return wrong(format!(
                "a ring of a {ty} has at least four positions, and ends where it begins"
            ));
        }
        if lists == 1 && ty.ends_with("LineString") && items.len() < 2 {
            return wrong(format!("a {ty} needs at least two positions"));
        }
        self.out.push('(');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            let Value::Array(item) = item else {
                return wrong(format!("the \"coordinates\" of a {ty} are lists in lists"));
            };
            match lists {
                0 | 1 => self.position(item)?,
                // Of what a Multi… has an item may be empty, a ring may not.
                _ if item.is_empty() && (lists == 3 || !ty.ends_with("Polygon")) => {
                    self.out.push_str("EMPTY");
                }
                _ => self.within(ty, item, lists - 1)?,
            }
        }
        self.out.push(')');
        Ok(())
    }

    fn position(&mut self, numbers: &[Value]) -> Result<()> {
        if !(2..=3).contains(&numbers.len()) {
            return wrong("a position is a list of two or three numbers");
        }
        if *self.dimensions.get_or_insert(numbers.len()) != numbers.len() {
            return wrong("all positions of a geometry have two numbers, or all have three");
        }
        for (index, number) in numbers.iter().enumerate() {
            let Value::Number(number) = number else {
                return wrong("a position is a list of two or three numbers");
            };
            if index > 0 {
                self.out.push(' ');
            }
            // Writing to a string cannot fail.
            write!(self.out, "{number}").map_err(|error| NotGeoJson(error.to_string()))?;
        }
        Ok(())
    }

    fn collection(&mut self, object: &Map<String, Value>, depth: usize) -> Result<()> {
        let Some(Value::Array(items)) = object.get("geometries") else {
            return wrong("a GeometryCollection needs a list of \"geometries\"");
        };
        if depth >= MAX_DEPTH {
            return wrong(format!("collections of geometries nest at most {MAX_DEPTH} deep"));
        }
        self.out.push_str("GEOMETRYCOLLECTION");
        if items.is_empty() {
            self.out.push_str(" EMPTY");
            return Ok(());
        }
        for (index, item) in items.iter().enumerate() {
            let Value::Object(item) = item else {
                return wrong("\"geometries\" is a list of GeoJSON geometries");
            };
            self.out.push(if index == 0 { '(' } else { ',' });
            self.geometry(item, depth + 1)?;
        }
        self.out.push(')');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_of_geometry() {
        for (json, expected) in [
            (json!({"type": "Point", "coordinates": [1, -2.5]}), "SRID=4326;POINT(1 -2.5)"),
            (json!({"type": "Point", "coordinates": []}), "SRID=4326;POINT EMPTY"),
            (
                json!({"type": "Point", "coordinates": [1, 2, 3], "crs":
                    {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}}),
                "SRID=3857;POINT(1 2 3)",
            ),
            (
                json!({"type": "Point", "coordinates": [1, 2], "crs":
                    {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}}),
                "SRID=4326;POINT(1 2)",
            ),
            (
                json!({"type": "LineString", "coordinates": [[0, 0], [1e-7, 1]]}),
                "SRID=4326;LINESTRING(0 0,1e-7 1)",
            ),
            (
                json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}),
                "SRID=4326;POLYGON((0 0,1 0,1 1,0 0))",
            ),
            (
                json!({"type": "MultiLineString", "coordinates": [[[0, 0, 1], [1, 0, 2]], []]}),
                "SRID=4326;MULTILINESTRING((0 0 1,1 0 2),EMPTY)",
            ),
            (json!({"type": "MultiPolygon", "coordinates": [[]]}), "SRID=4326;MULTIPOLYGON(EMPTY)"),
            (
                json!({"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 0]]]]}),
                "SRID=4326;MULTIPOLYGON(((0 0,1 0,1 1,0 0)))",
            ),
            (
                json!({"type": "GeometryCollection", "geometries": [
                    {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
                    {"type": "GeometryCollection", "geometries": []}]}),
                "SRID=4326;GEOMETRYCOLLECTION(MULTIPOINT(1 2,3 4),GEOMETRYCOLLECTION EMPTY)",
            ),
        ] {
            assert_eq!(ewkt(&json).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        for json in [
            json!(null),
            json!("POINT(1 2)"),
            json!({}),
            json!({"type": "Circle", "coordinates": [1, 2]}),
            json!({"type": "Point"}),
            json!({"type": "Point", "coordinates": [1]}),
            json!({"type": "Point", "coordinates": [1, 2, 3, 4]}),
            json!({"type": "Point", "coordinates": ["1", "2); drop table x"]}),
            json!({"type": "Polygon", "coordinates": [[1, 2]]}),
            json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}),
            json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}),
            json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]], []]}),
            json!({"type": "MultiPolygon", "coordinates": [[[]]]}),
            json!({"type": "LineString", "coordinates": [[0, 0]]}),
            json!({"type": "LineString", "coordinates": [[0, 0], [1, 1, 1]]}),
            json!({"type": "GeometryCollection", "geometries": [
                {"type": "Point", "coordinates": [1, 2, 3]}, {"type": "Point", "coordinates": [1, 2]}]}),
            json!({"type": "GeometryCollection", "geometries": [[]]}),
            json!({"type": "Point", "coordinates": [1, 2], "crs": {"properties": {"name": "4326"}}}),
            json!({"type": "Point", "coordinates": [1, 2], "crs": "EPSG:4326"}),
        ] {
            assert!(ewkt(&json).is_err(), "{json}");
        }
        let large = "{\"type\": \"Point\", \"coordinates\": [1e400, 2]}";
        let told = ewkt_of_text(large).map_err(|error| error.to_string());
        assert!(told.is_err_and(|told| told.contains("number out of range")));
        let mut deep = json!({"type": "Point", "coordinates": [1, 2]});
        for _ in 0..=MAX_DEPTH {
            deep = json!({"type": "GeometryCollection", "geometries": [deep]});
        }
        assert!(ewkt(&deep).is_err());
    }
}
