//! Operations that the metadata holds: which documents the allow list lets
//! through, and which document a REST endpoint runs.
//!
//! They are compared and run as documents; whether a role may run one is
//! worked out like for any request.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::inconsistency::{Inconsistency, ObjectKind, Place};
use crate::graphql::ast::{
    Document, Fragment, OperationDefinition, Selection, TypeExpr, VariableDefinition,
};
use crate::graphql::parse::{ParseError, ParseLimits, parse};
use crate::graphql::{Name, OperationKind};
use crate::metadata::Metadata;
use crate::metadata::collection::{RestEndpoint, RestMethod};

/// Documents of the administrator; the bound is against accidents.
const LIMITS: ParseLimits = ParseLimits { depth: 200, tokens: 100_000 };

/// Reads a document of a query collection.
pub fn read(text: &str) -> Result<Document, ParseError> {
    parse(text, LIMITS)
}

#[derive(Debug, Default)]
pub struct StoredOperations {
    pub allowlist: Allowlist,
    pub endpoints: Vec<Endpoint>,
}

/// Documents that may run where only listed ones may.
#[derive(Debug, Default)]
pub struct Allowlist(HashMap<Normalized, Allowed>);

/// For whom a document is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    Everybody,
    Roles(Arc<BTreeSet<Name>>),
}

impl Allowed {
    pub fn covers(&self, role: &str) -> bool {
        match self {
            Allowed::Everybody => true,
            Allowed::Roles(roles) => roles.contains(role),
        }
    }
}

impl Allowlist {
    /// For whom a document is listed; `None` when for nobody.
    pub fn allowed(&self, document: &Document) -> Option<&Allowed> {
        self.0.get(&Normalized::of(document))
    }
}

/// A document without what clients add by themselves: `__typename`, spaces,
/// comments, the order of fragments.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Normalized {
    operations: Vec<OperationDefinition>,
    fragments: Vec<(Name, Fragment)>,
}

impl Normalized {
    fn of(document: &Document) -> Self {
        let mut operations = document.operations.clone();
        for operation in &mut operations {
            without_typenames(&mut operation.selection);
        }
        let mut fragments: Vec<(Name, Fragment)> = document
            .fragments
            .iter()
            .map(|(name, fragment)| (name.clone(), fragment.clone()))
            .collect();
        for (_, fragment) in &mut fragments {
            without_typenames(&mut fragment.selection);
        }
        fragments.sort_by(|(left, _), (right, _)| left.cmp(right));
        Normalized { operations, fragments }
    }
}

fn without_typenames(selections: &mut Vec<Selection>) {
    selections.retain_mut(|selection| match selection {
        Selection::Field(field) => {
            without_typenames(&mut field.selection);
            *field.name != *"__typename"
        }
        Selection::Inline { selection, .. } => {
            without_typenames(selection);
            true
        }
        Selection::Spread { .. } => true,
    });
}

/// A document under an address.
#[derive(Debug)]
pub struct Endpoint {
    pub name: Arc<str>,
    pub methods: Vec<RestMethod>,
    segments: Vec<Segment>,
    pub query: Arc<str>,
    pub kind: OperationKind,
    variables: Vec<VariableDefinition>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(Arc<str>),
    Variable(Arc<str>),
}

impl Segment {
    fn overlaps(&self, other: &Segment) -> bool {
        match (self, other) {
            (Segment::Literal(left), Segment::Literal(right)) => left == right,
            _ => true,
        }
    }
}

/// What an address leads to.
#[derive(Debug)]
pub enum Route<'a> {
    /// An endpoint, with what the path says of its variables.
    Endpoint(&'a Endpoint, Vec<(&'a str, String)>),
    /// The methods that the address takes.
    OtherMethods(Vec<RestMethod>),
    /// More than one endpoint.
    Ambiguous,
    Nothing,
}

impl Endpoint {
    pub fn variable(&self, name: &str) -> Option<&TypeExpr> {
        self.variables.iter().find(|variable| *variable.name == *name).map(|found| &found.ty)
    }

    fn matches(&self, path: &[String]) -> Option<Vec<(&str, String)>> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut values = Vec::new();
        for (segment, given) in self.segments.iter().zip(path) {
            match segment {
                Segment::Literal(text) if **text == **given => {}
                Segment::Literal(_) => return None,
                Segment::Variable(name) => values.push((name.as_ref(), given.clone())),
            }
        }
        Some(values)
    }

    fn overlaps(&self, other: &Endpoint, method: RestMethod) -> bool {
        self.methods.contains(&method)
            && other.methods.contains(&method)
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|(here, there)| here.overlaps(there))
    }
}

impl StoredOperations {
    pub(super) fn of(metadata: &Metadata, told: &mut Vec<Inconsistency>) -> Self {
        let mut stored = StoredOperations {
            allowlist: allowlist(metadata),
            endpoints: Vec::with_capacity(metadata.rest_endpoints.len()),
        };
        for written in &metadata.rest_endpoints {
            match endpoint(metadata, written) {
                Ok(endpoint) => stored.endpoints.push(endpoint),
                Err(reason) => told.push(of_endpoint(written, reason)),
            }
        }
        tell_ambiguous(&stored.endpoints, metadata, told);
        stored
    }

    /// Finds the endpoint of an address below `/api/rest/`.
    pub fn route(&self, method: RestMethod, path: &[String]) -> Route<'_> {
        let mut found = None;
        let mut methods = Vec::new();
        for endpoint in &self.endpoints {
            let Some(values) = endpoint.matches(path) else { continue };
            if !endpoint.methods.contains(&method) {
                methods.extend(endpoint.methods.iter().copied());
            } else if found.replace((endpoint, values)).is_some() {
                return Route::Ambiguous;
            }
        }
        match found {
            Some((endpoint, values)) => Route::Endpoint(endpoint, values),
            None if methods.is_empty() => Route::Nothing,
            None => Route::OtherMethods(methods),
        }
    }
}

fn allowlist(metadata: &Metadata) -> Allowlist {
    let mut allowed: HashMap<Normalized, Allowed> = HashMap::new();
    for entry in &metadata.allowlist {
        let collection =
            metadata.query_collections.iter().find(|found| found.name == entry.collection);
        let queries = collection.iter().flat_map(|collection| &collection.definition.queries);
        for listed in queries {
            // A document that cannot be read cannot be sent either.
            let Ok(document) = read(&listed.query) else { continue };
            let known = allowed.entry(Normalized::of(&document));
            let roles: BTreeSet<Name> =
                entry.scope.roles.iter().map(|role| role.shared()).collect();
            if entry.scope.global {
                known.insert_entry(Allowed::Everybody);
            } else if let Allowed::Roles(all) =
                known.or_insert_with(|| Allowed::Roles(Arc::default()))
            {
                Arc::make_mut(all).extend(roles);
            }
        }
    }
    Allowlist(allowed)
}

fn endpoint(metadata: &Metadata, written: &RestEndpoint) -> Result<Endpoint, String> {
    let reference = &written.definition.query;
    let (collection, query) = (&reference.collection_name, &reference.query_name);
    let in_endpoint =
        |reason: String| format!("Inconsistent object: in endpoint {}: {reason}", written.name);
    let collection =
        metadata.query_collections.iter().find(|found| found.name == *collection).ok_or_else(
            || in_endpoint(format!("collection with name {collection} does not exist")),
        )?;
    let listed = collection.definition.queries.iter().find(|found| found.name == *query);
    let listed = listed.ok_or_else(|| {
        in_endpoint(format!(
            "query with name {query} does not exist in collection {}",
            collection.name
        ))
    })?;
    let document = read(&listed.query).map_err(|error| in_endpoint(error.to_string()))?;
    let [operation] = document.operations.as_slice() else {
        return Err(in_endpoint(format!("query with name {query} has multiple definitions.")));
    };
    if operation.kind == OperationKind::Subscription {
        return Err(in_endpoint(format!("query with name {query} is a subscription")));
    }
    let mut segments = Vec::new();
    for part in written.url.split('/') {
        if part.is_empty() || part == ":" {
            return Err(format!(
                "Empty segments or unnamed variables are not allowed: {}",
                written.url
            ));
        }
        let segment = match part.strip_prefix(':') {
            None => Segment::Literal(part.into()),
            Some(name) => {
                let segment = Segment::Variable(name.into());
                if segments.contains(&segment) {
                    return Err(format!(
                        "Duplicate variables found in endpoint path: {}",
                        written.url
                    ));
                }
                segment
            }
        };
        segments.push(segment);
    }
    Ok(Endpoint {
        name: written.name.shared(),
        methods: written.methods.clone(),
        segments,
        query: listed.query.clone(),
        kind: operation.kind,
        variables: operation.variables.clone(),
    })
}

fn of_endpoint(written: &RestEndpoint, reason: String) -> Inconsistency {
    Inconsistency {
        definition: with_comment(json!(written)),
        reason,
        name: format!("endpoint {}", written.name),
        kind: ObjectKind::Endpoint,
        place: Place { named: written.name.shared(), ..Place::default() },
        conflicts: None,
        breaks: true,
    }
}

fn with_comment(mut definition: Value) -> Value {
    if let Value::Object(map) = &mut definition {
        map.entry("comment").or_insert(Value::Null);
    }
    definition
}

/// Endpoints that a request may mean at once, told once a group.
fn tell_ambiguous(endpoints: &[Endpoint], metadata: &Metadata, told: &mut Vec<Inconsistency>) {
    const METHODS: [RestMethod; 5] =
        [RestMethod::Get, RestMethod::Post, RestMethod::Put, RestMethod::Delete, RestMethod::Patch];
    let mut groups: BTreeSet<Vec<usize>> = BTreeSet::new();
    for method in METHODS {
        let mut seen = vec![false; endpoints.len()];
        for start in 0..endpoints.len() {
            let mut group = BTreeSet::new();
            let mut reached = vec![start];
            while let Some(at) = reached.pop() {
                if seen.get(at).copied().unwrap_or(true) {
                    continue;
                }
                if let Some(seen) = seen.get_mut(at) {
                    *seen = true;
                }
                group.insert(at);
                let Some(here) = endpoints.get(at) else { continue };
                reached.extend(
                    endpoints
                        .iter()
                        .enumerate()
                        .filter(|(other, there)| *other != at && here.overlaps(there, method))
                        .map(|(other, _)| other),
                );
            }
            if group.len() > 1 {
                groups.insert(group.into_iter().collect());
            }
        }
    }
    for group in groups {
        let mut members: Vec<(&Endpoint, &RestEndpoint)> = group
            .iter()
            .filter_map(|index| endpoints.get(*index))
            .filter_map(|endpoint| {
                let written = metadata
                    .rest_endpoints
                    .iter()
                    .find(|written| *written.name == *endpoint.name)?;
                Some((endpoint, written))
            })
            .collect();
        members.sort_by(|(_, left), (_, right)| left.url.cmp(&right.url));
        let urls: Vec<&str> = members.iter().map(|(_, written)| written.url.as_ref()).collect();
        let conflicts = members.iter().map(|(endpoint, written)| {
            let mut definition = with_comment(json!(written));
            if let Value::Object(map) = &mut definition {
                map.insert("definition".to_owned(), json!({"query": endpoint.query}));
            }
            definition
        });
        let reason = format!("Ambiguous URL paths: {}", urls.join(", "));
        let first = members.first().map(|(endpoint, _)| endpoint.name.clone());
        told.push(Inconsistency {
            definition: Value::Null,
            name: reason.clone(),
            reason,
            kind: ObjectKind::Endpoint,
            place: Place { named: first.unwrap_or_default(), ..Place::default() },
            conflicts: Some(Value::Array(conflicts.collect())),
            breaks: true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::document::parse as from_json;

    fn metadata(urls: &[(&str, &str, &[&str])]) -> Metadata {
        let endpoints: Vec<Value> = urls
            .iter()
            .map(|(name, url, methods)| {
                json!({"name": name, "url": url, "methods": methods,
                    "definition": {"query": {"collection_name": "c", "query_name": "q"}}})
            })
            .collect();
        from_json(&json!({"version": 3,
            "query_collections": [{"name": "c", "definition": {"queries": [
                {"name": "q", "query": "query ($id: Int!) { user(where: {id: {_eq: $id}}) { id } }"}]}}],
            "allowlist": [{"collection": "c", "scope": {"global": false, "roles": ["user"]}}],
            "rest_endpoints": endpoints}))
        .expect("metadata")
    }

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn addresses_lead_to_endpoints() {
        let mut told = Vec::new();
        let stored = StoredOperations::of(
            &metadata(&[("one", "users/:id", &["GET"]), ("all", "users", &["GET", "POST"])]),
            &mut told,
        );
        assert_eq!(told, []);
        match stored.route(RestMethod::Get, &path("users/7")) {
            Route::Endpoint(found, values) => {
                assert_eq!(&*found.name, "one");
                assert_eq!(values, [("id", "7".to_owned())]);
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(stored.route(RestMethod::Put, &path("users")), Route::OtherMethods(_)));
        assert!(matches!(stored.route(RestMethod::Get, &path("users/7/x")), Route::Nothing));
    }

    #[test]
    fn what_two_addresses_share_is_ambiguous_for_their_common_methods_only() {
        let mut told = Vec::new();
        let stored = StoredOperations::of(
            &metadata(&[
                ("a", ":x/b", &["GET"]),
                ("b", "a/:y", &["GET"]),
                ("c", "a/:z", &["POST"]),
                ("d", "a", &["GET"]),
            ]),
            &mut told,
        );
        let reasons: Vec<&str> = told.iter().map(|told| told.reason.as_str()).collect();
        assert_eq!(reasons, ["Ambiguous URL paths: :x/b, a/:y"]);
        assert!(matches!(stored.route(RestMethod::Get, &path("a/b")), Route::Ambiguous));
        assert!(matches!(stored.route(RestMethod::Post, &path("a/b")), Route::Endpoint(..)));
    }

    #[test]
    fn clients_that_add_typenames_are_let_through() {
        let stored = StoredOperations::of(&metadata(&[]), &mut Vec::new());
        let same = "query($id:Int!){ user(where:{id:{_eq:$id}}) { __typename id } }";
        let allowed = stored.allowlist.allowed(&read(same).expect("a document"));
        assert!(allowed.is_some_and(|allowed| allowed.covers("user") && !allowed.covers("guest")));
        let other = "query($id:Int!){ user(where:{id:{_eq:$id}}) { id name } }";
        assert_eq!(stored.allowlist.allowed(&read(other).expect("a document")), None);
    }
}
