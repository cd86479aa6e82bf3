//! Which settings (`current_setting`) policies, views and functions read.
//!
//! ```text
//! policy ─▶ functions (pg_depend, and names in bodies) ─▶ their bodies ─▶ …
//!    └────▶ relations of its sub-queries ─▶ their policies ─▶ …
//! view ───▶ relations below, as the owner or as the caller
//! ```
//!
//! The walk follows Postgres: the relations of an owner's view are checked as
//! the owner, those of an invoker's view as the caller, and functions run as
//! the caller unless SECURITY DEFINER. Where the text leaves a doubt the
//! answer has more names, and `closed` is false when it may still miss one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::model::{
    ArgMode, Attached, Catalog, Function, Oid, PgType, Policy, PolicyCommand, Relation,
    SettingsRead, TableKind, TypeKind, Volatility,
};
use super::privileges::Rights;
use super::reads::{Context, Guard, Reads, is_restless, reads};
use super::steady;

/// Texts of a catalogue that matter only for this analysis.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Object → functions that it depends on (`pg_depend`).
    pub(super) calls: HashMap<Oid, Vec<Oid>>,
    /// Extension → names of its functions in other languages than SQL and
    /// PL/pgSQL.
    pub(super) extension_functions: HashMap<String, Vec<String>>,
    /// View definitions, rules, defaults, checks, triggers.
    pub(super) texts: Vec<Source>,
    /// Those that are not Postgres' own.
    pub(super) operators: Vec<Operator>,
    /// Functions of casts, which any text may call without naming them.
    pub(super) unnamed: Vec<Oid>,
}

#[derive(Debug)]
pub(super) struct Operator {
    pub(super) symbol: String,
    pub(super) function: Oid,
    pub(super) extension: Option<String>,
}

/// Operators that SQL uses without writing them: IN, CASE, DISTINCT, LIKE,
/// ORDER BY and so on.
const IMPLICIT: [&str; 10] = ["=", "<>", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*"];

#[derive(Debug)]
pub(super) struct Source {
    pub(super) oid: Oid,
    /// The view that the text defines.
    pub(super) view: Option<Oid>,
    /// It is the check of a domain, which every cast to that one runs.
    pub(super) domain: bool,
    /// As SQL names what has the text.
    pub(super) object: String,
    pub(super) text: String,
}

/// Extensions whose C functions were reviewed: none reads a setting that a
/// session could set to somebody's identity, and none runs SQL given as text.
const REVIEWED: [&str; 26] = [
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "pg_buffercache",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_trgm",
    "pgcrypto",
    "pgstattuple",
    "plpgsql",
    "postgis",
    "postgres_fdw",
    "seg",
    "sslinfo",
    "tsm_system_rows",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// Schemas whose functions count only where something calls them.
const OUR_SCHEMAS: [&str; 2] = ["ringfence", "hdb_catalog"];

/// Result types to which a text passes unchanged or not at all: void, bytea,
/// name, text, bpchar, varchar, trigger, record, event_trigger.
const LENIENT_RESULTS: [Oid; 9] = [2278, 17, 19, 25, 1042, 1043, 2279, 2249, 3838];

/// As whom something runs: `None` is the role of the request.
type As = Option<Oid>;

/// Objects that a walk has seen, with the identities it saw them under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    Relation { oid: Oid, checked_as: As, user: As, deciding: bool },
    Policy { relation: Oid, index: usize, checked_as: As, user: As },
    Function { oid: Oid, user: As, deciding: bool },
    Defaults { oid: Oid, user: As, deciding: bool },
    Domains { user: As },
}

struct Analysis<'a> {
    relations: &'a HashMap<Oid, Relation>,
    functions: &'a HashMap<Oid, Function>,
    types: &'a HashMap<Oid, PgType>,
    calls: &'a HashMap<Oid, Vec<Oid>>,
    bodies: HashMap<Oid, Reads>,
    /// Of functions' arguments.
    defaults: HashMap<Oid, Reads>,
    /// What domains check, and the functions that a text may call without
    /// naming them.
    domains: Reads,
    checks: Vec<Oid>,
    unnamed: Vec<Oid>,
    /// With the operators that are written, and those whose functions nobody
    /// has read.
    operators: Vec<(&'a str, Oid)>,
    opaque_operators: Vec<&'a str>,
    /// By relation and position.
    policies: HashMap<(Oid, usize), Reads>,
    /// Rules of views by view.
    views: HashMap<Oid, Reads>,
    functions_named: HashMap<&'a str, Vec<&'a Function>>,
    relations_named: HashMap<&'a str, Vec<&'a Relation>>,
    /// Names of extension functions that we cannot read.
    opaque: HashSet<&'a str>,
    rights: HashMap<Oid, Rights>,
}

impl SettingsRead {
    fn nothing() -> Self {
        SettingsRead { closed: true, ..SettingsRead::default() }
    }

    /// Takes over what `other` reads.
    pub fn absorb(&mut self, other: &SettingsRead) {
        self.names.extend(other.names.iter().cloned());
        self.unguarded.extend(other.unguarded.iter().cloned());
        self.computed |= other.computed;
        self.closed &= other.closed;
        self.restless |= other.restless;
        if self.unsteady.is_none() {
            self.unsteady.clone_from(&other.unsteady);
        }
    }

    fn add(&mut self, found: &Reads) {
        for read in &found.settings {
            let Some(name) = &read.setting else {
                self.computed = true;
                continue;
            };
            self.names.insert(name.clone());
            if matches!(read.guard, Guard::Cast(_)) {
                self.unguarded.insert(name.clone());
            }
        }
        self.computed |= found.dynamic_sql || found.reads_any;
        self.restless |= found.restless;
        self.closed &= !self.computed;
    }
}

/// Fills in every `settings` field of the catalogue.
pub(super) fn analyse(catalog: &mut Catalog, sources: &Sources) {
    let domains = text_domains(&catalog.types);
    let context = Context { text_domains: Some(&domains), ..Context::default() };
    let found = {
        let analysis = Analysis::new(catalog, sources, context);
        Found::collect(catalog, sources, &analysis, context)
    };
    found.store(catalog);
}

struct FoundFunction {
    oid: Oid,
    settings: SettingsRead,
    dynamic: bool,
    sets_session: bool,
    mentions: Vec<Oid>,
    reads: Vec<Oid>,
}

/// The results, until the catalogue can be changed again.
struct Found {
    functions: Vec<FoundFunction>,
    policies: Vec<(Oid, Vec<SettingsRead>)>,
    own: Vec<(Oid, SettingsRead)>,
    select: Vec<(Oid, SettingsRead)>,
    global: SettingsRead,
    attached: Vec<Attached>,
    /// Functions that the checks of domains call.
    checks: Vec<Oid>,
}

impl Found {
    fn collect(
        catalog: &Catalog,
        sources: &Sources,
        analysis: &Analysis<'_>,
        context: Context<'_>,
    ) -> Found {
        let mut found = Found {
            functions: Vec::new(),
            policies: Vec::new(),
            own: Vec::new(),
            select: Vec::new(),
            global: SettingsRead::nothing(),
            attached: Vec::new(),
            checks: analysis.checks.clone(),
        };
        for function in catalog.functions.values() {
            let mut walk = Walk::new(analysis);
            walk.function(function.oid, None);
            let body = analysis.bodies.get(&function.oid);
            found.functions.push(FoundFunction {
                oid: function.oid,
                dynamic: body.is_some_and(|body| body.dynamic_sql),
                sets_session: body.is_some_and(|body| body.sets_session),
                mentions: {
                    let texts = body.into_iter().chain(analysis.defaults.get(&function.oid));
                    let mentioned = texts.flat_map(|text| analysis.mentioned(text));
                    mentioned
                        .chain(body.into_iter().flat_map(|_| &analysis.checks).copied())
                        .collect()
                },
                reads: body.map(|body| analysis.read_by(body)).unwrap_or_default(),
                settings: walk.read.clone(),
            });
            if function.extension.is_none() && !OUR_SCHEMAS.contains(&function.schema.as_ref()) {
                found.global.absorb(&walk.read);
            }
        }
        for relation in catalog.relations.values() {
            let mut each = Vec::with_capacity(relation.policies.len());
            let mut own = SettingsRead::nothing();
            for index in 0..relation.policies.len() {
                let mut walk = Walk::new(analysis);
                walk.policy(relation, index, None, None);
                found.global.absorb(&walk.read);
                own.absorb(&walk.read);
                each.push(walk.read);
            }
            let mut walk = Walk::new(analysis);
            walk.relation(relation.oid, None, None);
            if is_view(relation.kind) {
                // A materialised view reads its settings when it is refreshed,
                // so they are written although a SELECT needs none.
                let mut definition = Walk::new(analysis);
                definition.definition(relation, None);
                own.absorb(&definition.read);
                found.global.absorb(&definition.read);
            }
            found.global.absorb(&walk.read);
            found.policies.push((relation.oid, each));
            found.own.push((relation.oid, own));
            found.select.push((relation.oid, walk.read));
        }
        for source in &sources.texts {
            let text = reads(&source.text, context);
            let mut walk = Walk::new(analysis);
            walk.text(&text, None);
            walk.called(source.oid, None);
            found.global.absorb(&walk.read);
            let mut calls = analysis.mentioned(&text);
            calls.extend(sources.calls.get(&source.oid).into_iter().flatten());
            found.attached.push(Attached {
                object: source.object.clone(),
                view: source.view.is_some(),
                calls,
                sets_session: text.sets_session,
            });
        }
        found
    }

    fn store(self, catalog: &mut Catalog) {
        for found in self.functions {
            if let Some(function) = catalog.functions.get_mut(&found.oid) {
                function.mentions = found.mentions;
                function.reads = found.reads;
                function.settings = found.settings;
                function.dynamic_sql = found.dynamic;
                function.sets_session = found.sets_session;
            }
        }
        for (oid, each) in self.policies {
            if let Some(relation) = catalog.relations.get_mut(&oid) {
                for (policy, settings) in relation.policies.iter_mut().zip(each) {
                    policy.settings = settings;
                }
            }
        }
        for (oid, settings) in self.own {
            if let Some(relation) = catalog.relations.get_mut(&oid) {
                relation.own_settings = settings;
            }
        }
        for (oid, settings) in self.select {
            let Some(id) = catalog.table_ids.get(&oid) else { continue };
            if let Some(table) = catalog.tables.get_mut(id.0 as usize) {
                table.select_settings = settings;
            }
        }
        for table in &mut catalog.tables {
            if let Some(relation) = catalog.relations.get(&table.oid) {
                table.policies.clone_from(&relation.policies);
            }
        }
        for relation in catalog.relations.values_mut() {
            if is_view(relation.kind) {
                relation.calls.extend(&self.checks);
            }
            for policy in &mut relation.policies {
                policy.calls.extend(&self.checks);
            }
        }
        catalog.settings = self.global;
        catalog.attached = self.attached;
    }
}

fn is_view(kind: TableKind) -> bool {
    matches!(kind, TableKind::View | TableKind::MaterializedView)
}

/// Domains that end in a text type, to which an empty text can be cast.
fn text_domains(types: &HashMap<Oid, PgType>) -> HashSet<String> {
    let base = |mut oid: Oid| {
        while let Some(PgType { kind: TypeKind::Domain { base }, .. }) = types.get(&oid) {
            oid = *base;
        }
        oid
    };
    types
        .values()
        .filter(|ty| matches!(ty.kind, TypeKind::Domain { .. }))
        .filter(|ty| types.get(&base(ty.oid)).is_some_and(|end| end.category == 'S'))
        .map(|ty| ty.name.to_string())
        .collect()
}

impl<'a> Analysis<'a> {
    fn new(catalog: &'a Catalog, sources: &'a Sources, context: Context<'_>) -> Self {
        let mut analysis = Analysis {
            relations: &catalog.relations,
            functions: &catalog.functions,
            types: &catalog.types,
            calls: &sources.calls,
            bodies: HashMap::new(),
            defaults: HashMap::new(),
            domains: Reads::default(),
            checks: Vec::new(),
            unnamed: sources.unnamed.clone(),
            operators: Vec::new(),
            opaque_operators: Vec::new(),
            policies: HashMap::new(),
            views: HashMap::new(),
            functions_named: HashMap::new(),
            relations_named: HashMap::new(),
            opaque: HashSet::new(),
            rights: HashMap::new(),
        };
        for function in catalog.functions.values() {
            analysis.functions_named.entry(&function.name).or_default().push(function);
            if let Some(text) = &function.default_text {
                analysis.defaults.insert(function.oid, reads(text, context));
            }
            if let Some(body) = &function.body {
                let plpgsql = function.language.as_ref() == "plpgsql";
                let context = Context {
                    plpgsql,
                    returns_strict: plpgsql
                        && !function.returns_set
                        && function.returns < 16384
                        && !LENIENT_RESULTS.contains(&function.returns),
                    ..context
                };
                analysis.bodies.insert(function.oid, reads(body, context));
            }
        }
        for relation in catalog.relations.values() {
            analysis.relations_named.entry(&relation.name).or_default().push(relation);
            for (index, policy) in relation.policies.iter().enumerate() {
                let mut both = reads(policy.using.as_deref().unwrap_or(""), context);
                both.merge(reads(policy.check.as_deref().unwrap_or(""), context));
                analysis.policies.insert((relation.oid, index), both);
            }
            analysis.rights.entry(relation.owner).or_insert_with(|| catalog.rights(relation.owner));
        }
        for function in catalog.functions.values().filter(|function| function.security_definer) {
            analysis.rights.entry(function.owner).or_insert_with(|| catalog.rights(function.owner));
        }
        for source in &sources.texts {
            if let Some(view) = source.view {
                analysis.views.entry(view).or_default().merge(reads(&source.text, context));
            }
        }
        for source in sources.texts.iter().filter(|source| source.domain) {
            analysis.domains.merge(reads(&source.text, context));
            analysis.checks.extend(sources.calls.get(&source.oid).into_iter().flatten());
        }
        for operator in &sources.operators {
            match &operator.extension {
                Some(extension) if reviewed(extension) => {}
                // Of a type that only the extension has.
                Some(_) if IMPLICIT.contains(&operator.symbol.as_str()) => {}
                Some(_) => analysis.opaque_operators.push(&operator.symbol),
                // One of Postgres' own, which may be any.
                None if !catalog.functions.contains_key(&operator.function) => {
                    analysis.opaque_operators.push(&operator.symbol);
                }
                None if IMPLICIT.contains(&operator.symbol.as_str()) => {
                    analysis.unnamed.push(operator.function);
                }
                None => analysis.operators.push((&operator.symbol, operator.function)),
            }
        }
        for (extension, names) in &sources.extension_functions {
            if !reviewed(extension) {
                analysis.opaque.extend(names.iter().map(String::as_str));
            }
        }
        analysis
    }
}

impl Analysis<'_> {
    /// Functions that a text may mean by the names it calls, or call by operators,
    /// as fields of a row, by casts and by the checks of domains.
    fn mentioned(&self, text: &Reads) -> Vec<Oid> {
        let mut out = self.unnamed.clone();
        let written = |symbol: &str| text.operators.iter().any(|signs| signs.contains(symbol));
        let operators = self.operators.iter().filter(|(symbol, _)| written(symbol));
        out.extend(operators.map(|(_, function)| *function));
        for name in &text.fields {
            let named = self.functions_named.get(name.as_str()).into_iter().flatten();
            out.extend(named.filter(|f| self.is_field(f)).map(|function| function.oid));
        }
        for call in &text.calls {
            let named = self.functions_named.get(call.name.as_str());
            let fits = |function: &&&Function| {
                call.schema.as_deref().is_none_or(|schema| schema == function.schema.as_ref())
            };
            out.extend(named.into_iter().flatten().filter(fits).map(|function| function.oid));
        }
        out
    }

    /// Whether a function can be written as a field of its argument, a row.
    fn is_field(&self, function: &Function) -> bool {
        let mut inputs =
            function.args.iter().filter(|arg| !matches!(arg.mode, ArgMode::Out | ArgMode::Table));
        let Some(first) = inputs.next() else { return false };
        let mut oid = first.type_oid;
        while let Some(PgType { kind: TypeKind::Domain { base }, .. }) = self.types.get(&oid) {
            oid = *base;
        }
        let kind = self.types.get(&oid).map(|ty| &ty.kind);
        // A type that is not known may be a row, and any type may be one.
        matches!(kind, None | Some(TypeKind::Composite | TypeKind::Pseudo))
            && inputs.count() <= usize::from(function.defaults)
    }

    /// Relations that a text may mean by the names it reads.
    fn read_by(&self, text: &Reads) -> Vec<Oid> {
        let mut out = Vec::new();
        for (schema, name) in &text.relations {
            let named = self.relations_named.get(name.as_str());
            let fits = |relation: &&&Relation| {
                schema.as_deref().is_none_or(|schema| schema == relation.schema.as_ref())
            };
            out.extend(named.into_iter().flatten().filter(fits).map(|relation| relation.oid));
        }
        out
    }
}

fn reviewed(extension: &str) -> bool {
    REVIEWED.contains(&extension) || extension.starts_with("postgis")
}

/// One walk through everything that is reached from an object.
struct Walk<'a> {
    analysis: &'a Analysis<'a>,
    seen: HashSet<Seen>,
    read: SettingsRead,
    /// Inside of a policy, where what is read decides who sees a row.
    deciding: bool,
}

impl<'a> Walk<'a> {
    fn new(analysis: &'a Analysis<'a>) -> Self {
        Walk { analysis, seen: HashSet::new(), read: SettingsRead::nothing(), deciding: false }
    }

    /// Reads `oid` with the rights of `checked_as`, in a statement of `user`.
    fn relation(&mut self, oid: Oid, checked_as: As, user: As) {
        let Some(relation) = self.analysis.relations.get(&oid) else { return };
        let deciding = self.deciding;
        if !self.seen.insert(Seen::Relation { oid, checked_as, user, deciding }) {
            return;
        }
        let rights = checked_as.and_then(|role| self.analysis.rights.get(&role));
        if relation.rls_enabled && !rights.is_some_and(|rights| rights.bypass(relation)) {
            for (index, policy) in relation.policies.iter().enumerate() {
                let applies = match rights {
                    Some(rights) => rights.subject_to(policy, PolicyCommand::Select),
                    None => selects(policy),
                };
                if applies {
                    self.policy(relation, index, checked_as, user);
                }
            }
        }
        if relation.kind == TableKind::View {
            self.definition(relation, user);
        }
    }

    fn definition(&mut self, view: &Relation, user: As) {
        if let Some(text) = self.analysis.views.get(&view.oid) {
            self.text(text, user);
        }
        self.domains(user);
        for function in &view.calls {
            self.function(*function, user);
        }
        let below = if view.security_invoker { user } else { Some(view.owner) };
        for relation in &view.reads {
            self.relation(*relation, below, user);
        }
    }

    fn policy(&mut self, relation: &Relation, index: usize, checked_as: As, user: As) {
        let seen = Seen::Policy { relation: relation.oid, index, checked_as, user };
        let Some(policy) = relation.policies.get(index) else { return };
        if !self.seen.insert(seen) {
            return;
        }
        let outer = std::mem::replace(&mut self.deciding, true);
        if let Some(text) = self.analysis.policies.get(&(relation.oid, index)) {
            self.read.add(text);
            self.steady(text);
        }
        self.domains(user);
        if !policy.reads.is_empty() {
            self.unsteady(|| {
                format!("a policy of {}.{} reads other tables", relation.schema, relation.name)
            });
        }
        for function in &policy.calls {
            self.function(*function, user);
        }
        for below in &policy.reads {
            self.relation(*below, checked_as, user);
        }
        self.deciding = outer;
    }

    fn unsteady(&mut self, reason: impl FnOnce() -> String) {
        self.read.unsteady.get_or_insert_with(|| Arc::from(reason()));
    }

    /// Whether a text gives the same for the same settings and rows.
    fn steady(&mut self, text: &Reads) {
        for name in &text.built_ins {
            // One that the database defines is looked into.
            let ours = self.analysis.functions_named.contains_key(name.as_str())
                && !steady::reads_clock(name);
            if self.deciding && !steady::decides(name) && !ours {
                self.unsteady(|| format!("a policy uses {name}"));
            } else if steady::is_volatile(name) {
                self.unsteady(|| format!("the function {name} is volatile"));
            }
        }
        if self.deciding && text.relations.iter().any(steady::is_of_system) {
            self.unsteady(|| "a policy reads the system's catalogue".to_owned());
        }
    }

    fn function(&mut self, oid: Oid, user: As) {
        let Some(function) = self.analysis.functions.get(&oid) else { return };
        if let Some(defaults) = self.analysis.defaults.get(&oid)
            && self.seen.insert(Seen::Defaults { oid, user, deciding: self.deciding })
        {
            self.text(defaults, user);
        }
        let user = if function.security_definer { Some(function.owner) } else { user };
        let deciding = self.deciding;
        if !self.seen.insert(Seen::Function { oid, user, deciding }) {
            return;
        }
        if function.volatility == Volatility::Volatile {
            self.unsteady(|| {
                format!("the function {}.{} is volatile", function.schema, function.name)
            });
        }
        match self.analysis.bodies.get(&oid) {
            Some(body) => {
                self.text(body, user);
                for relation in self.analysis.read_by(body) {
                    if deciding {
                        self.unsteady(|| {
                            let (schema, name) = (&function.schema, &function.name);
                            format!("the function {schema}.{name} of a policy reads tables")
                        });
                    }
                    self.relation(relation, user, user);
                }
            }
            // An aggregate is made of other functions, which pg_depend names.
            None if function.kind == super::model::FunctionKind::Aggregate => {}
            None if function.constructor => {}
            None => {
                self.read.closed &= function.extension.as_deref().is_some_and(reviewed);
                self.read.restless |= is_restless(&function.name);
                if deciding && function.volatility != Volatility::Immutable {
                    self.unsteady(|| {
                        let (schema, name) = (&function.schema, &function.name);
                        format!("the function {schema}.{name} of a policy is not immutable")
                    });
                }
            }
        }
        self.called(oid, user);
    }

    fn called(&mut self, object: Oid, user: As) {
        for function in self.analysis.calls.get(&object).into_iter().flatten() {
            self.function(*function, user);
        }
    }

    /// What the checks of domains read, which nothing that casts to them names. A
    /// check lets a value pass or raises, so no answer changes with the clock that
    /// it reads.
    fn domains(&mut self, user: As) {
        let analysis = self.analysis;
        if !self.seen.insert(Seen::Domains { user }) {
            return;
        }
        let mut walk = Walk::new(analysis);
        walk.seen.insert(Seen::Domains { user });
        walk.read.add(&analysis.domains);
        for function in &analysis.checks {
            walk.function(*function, user);
        }
        let found = SettingsRead { restless: false, unsteady: None, ..walk.read };
        self.read.absorb(&found);
    }

    /// What a text reads by itself, and the functions that it names.
    fn text(&mut self, text: &Reads, user: As) {
        self.read.add(text);
        self.steady(text);
        self.domains(user);
        let written = |symbol: &&str| text.operators.iter().any(|signs| signs.contains(*symbol));
        if self.analysis.opaque_operators.iter().any(written) {
            self.read.closed = false;
        }
        for call in &text.calls {
            if self.analysis.opaque.contains(call.name.as_str()) {
                self.read.closed = false;
            }
        }
        for function in self.analysis.mentioned(text) {
            self.function(function, user);
        }
    }
}

fn selects(policy: &Policy) -> bool {
    matches!(policy.command, PolicyCommand::All | PolicyCommand::Select)
}
