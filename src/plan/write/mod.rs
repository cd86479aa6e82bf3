//! Writes: each root of a mutation is one statement where that works, and else
//! several, all in one transaction.
//!
//! ```sql
//! WITH _0 AS (INSERT INTO "app"."tasks" AS _1 ("title") VALUES (($1)::text)
//!             RETURNING _1."id" AS "id", CASE WHEN <check> THEN 0 ELSE <raise> END AS "ok")
//! SELECT (SELECT row_to_json(_2.*) FROM (SELECT _0."id" AS "id" FROM _0) AS _2)
//! ```
//!
//! A statement sees the database as it was before. So where the answer has
//! other tables in it, the rows go out as text, and a second statement reads
//! them back and joins what is there *after* the write:
//!
//! ```text
//! WITH _0 AS (UPDATE … RETURNING …) SELECT [count, rows]
//! SELECT … FROM json_populate_recordset(NULL::"app"."tasks", rows) AS _1, with its relationships
//! ```
//!
//! A row with rows of other tables in it is a statement of its own, as in
//! Hasura: first those that it points to, then itself, then those that point
//! to it; keys are handed on as [`Earlier`](crate::operation::input::Earlier).
//!
//! An update of one row may change rows that belong to it: first the row itself
//! is updated, or locked where there is nothing to set, then each change is a
//! statement, and the last reads the row back. Where the first finds no row,
//! the others do not run.
//!
//! ```text
//! insert   new rows, upserts, nesting     update   updates and deletes
//! nested   changes of rows that belong to an updated one
//! output   what is answered
//! ```

mod insert;
mod nested;
mod output;
mod update;

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::operation::input::{Earlier, Operand};
use crate::operation::model::{Operation, RootSelection, Write};
use crate::schema::RoleSchema;
use crate::schema::tracked::{SourceId, TrackedId};
use crate::sql::raise::UNSEEN_MARK;
use crate::sql::{Alias, Expr, Ident, QualifiedName, Select, SelectItem, With, WithPart};

use super::planner::{Planner, Touch, own_type};
use super::script::{Empty, Gives, RootAnswer, Script, Step, Writes};
use super::source::sources;
use super::{Answer, Plan, PlanError, Slot};

/// Plans a mutation. `max_rows` caps every list in its answer.
pub fn plan(
    schema: &RoleSchema,
    operation: Operation,
    max_rows: Option<u64>,
) -> Result<Plan, PlanError> {
    let sources = sources(schema, operation.roots.iter().map(|root| &root.field))?;
    if sources.len() > 1 {
        return Err(PlanError::SeveralSources);
    }
    let source = sources.first().copied().unwrap_or(SourceId(0));
    let mut writer = Writer { schema, max_rows, drafts: Vec::new(), touched: BTreeSet::new() };
    let mut roots = Vec::with_capacity(operation.roots.len());
    for root in &operation.roots {
        roots.push(writer.root(&root.field)?);
    }
    let required = writer.required();
    let keys: Vec<Arc<str>> = operation.roots.into_iter().map(|root| root.key).collect();
    let steps = writer.finish()?;
    let meets_rows = steps.iter().any(|step| step.text.contains(UNSEEN_MARK));
    let answer = Answer::Script(Script { source, steps, roots, meets_rows });
    Ok(Plan {
        kind: operation.kind,
        operation_name: operation.name,
        answer,
        described: Vec::new(),
        keys,
        slots: Vec::new(),
        checks: operation.checks,
        filters: Vec::new(),
        cached: None,
        required,
        depends: None,
        stream: None,
        generic: Arc::default(),
    })
}

/// A JSON string that is known.
fn constant(text: &Arc<str>) -> RootAnswer {
    RootAnswer::Constant(serde_json::Value::from(text.as_ref()).to_string().into())
}

/// A statement before it is printed.
struct Draft {
    statement: With,
    slots: Vec<Slot>,
    gives: Gives,
    writes: Option<Writes>,
    after: Option<usize>,
    empty: Option<Empty>,
}

/// What planning a mutation keeps.
struct Writer<'a> {
    schema: &'a RoleSchema,
    max_rows: Option<u64>,
    drafts: Vec<Draft>,
    touched: BTreeSet<(TrackedId, Touch)>,
}

impl<'a> Writer<'a> {
    /// For the next statement; aliases and parameters begin anew in each.
    fn planner(&self) -> Planner<'a> {
        Planner::new(self.schema, self.max_rows)
    }

    /// Adds a statement that gives an answer.
    fn add(
        &mut self,
        planner: Planner<'a>,
        statement: With,
        writes: Option<Writes>,
    ) -> Result<usize, PlanError> {
        self.push(planner, statement, Gives::Answer, writes)
    }

    fn push(
        &mut self,
        planner: Planner<'a>,
        statement: With,
        gives: Gives,
        writes: Option<Writes>,
    ) -> Result<usize, PlanError> {
        planner.check_parameters()?;
        self.touched.extend(planner.touched);
        self.drafts.push(Draft {
            statement,
            slots: planner.slots,
            gives,
            writes,
            after: None,
            empty: None,
        });
        Ok(self.drafts.len() - 1)
    }

    fn root(&mut self, root: &RootSelection) -> Result<RootAnswer, PlanError> {
        match root {
            RootSelection::Typename(name) => Ok(constant(name)),
            RootSelection::Write(write) => self.write(write),
            RootSelection::Read(read) => {
                let mut planner = self.planner();
                let value = planner.read(read)?;
                let select = answer_of(Expr::Call("to_json", vec![value]));
                let statement = With { parts: Vec::new(), select };
                Ok(RootAnswer::Step(self.add(planner, statement, None)?))
            }
            RootSelection::Namespace(inside) => {
                let answers =
                    inside.iter().map(|root| Ok((root.key.clone(), self.root(&root.field)?)));
                Ok(RootAnswer::Object(answers.collect::<Result<_, PlanError>>()?))
            }
            RootSelection::Described(_)
            | RootSelection::NothingAvailable
            | RootSelection::Action(_) => Err(PlanError::Missing("a root of mutations")),
        }
    }

    fn write(&mut self, write: &Write) -> Result<RootAnswer, PlanError> {
        match write {
            Write::Insert { rows, output } => self.insert(rows, output),
            Write::Update { update, nested, output } if nested.is_empty() => {
                self.update(update, output)
            }
            Write::Update { update, nested, output } => self.update_nested(update, nested, output),
            Write::UpdateMany { updates, output } => self.update_many(updates, output),
            Write::Delete { delete, output } => self.delete(delete, output),
        }
    }

    /// (table, setting) pairs without which a policy would raise.
    fn required(&self) -> Vec<(Arc<str>, String)> {
        let mut out = Vec::new();
        for (table, touch) in &self.touched {
            let name = self.schema.table_name(*table).cloned().unwrap_or_else(|| "".into());
            for setting in self.schema.required_settings(*table, touch.command()) {
                let pair = (name.clone(), setting.to_owned());
                if !out.contains(&pair) {
                    out.push(pair);
                }
            }
        }
        out
    }

    /// Prints the statements; the last one gives the transaction's id too.
    fn finish(mut self) -> Result<Vec<Step>, PlanError> {
        if let Some(last) = self.drafts.last_mut() {
            let id = Expr::Call("pg_current_xact_id_if_assigned", Vec::new());
            let id = Expr::Cast(Box::new(id), own_type("text", false)?);
            last.statement.select.items.push(SelectItem { expr: id, name: None });
        }
        let mut texts: HashMap<Arc<str>, usize> = HashMap::new();
        let mut steps = Vec::with_capacity(self.drafts.len());
        for draft in self.drafts {
            let printed = draft.statement.to_string();
            let text = match texts.get_key_value(printed.as_str()) {
                Some((known, _)) => known.clone(),
                None => printed.into(),
            };
            *texts.entry(text.clone()).or_insert(0) += 1;
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            steps.push(Step {
                text,
                fingerprint: hasher.finish(),
                repeated: false,
                slots: draft.slots,
                gives: draft.gives,
                writes: draft.writes,
                after: draft.after,
                empty: draft.empty,
            });
        }
        for step in &mut steps {
            step.repeated = texts.get(&step.text).is_some_and(|count| *count > 1);
        }
        Ok(steps)
    }
}

/// `SELECT <json>`
fn answer_of(json: Expr) -> Select {
    Select { items: vec![SelectItem { expr: json, name: None }], ..Select::default() }
}

/// A part of a statement that writes, and what it returns under its name.
struct Written {
    name: Alias,
    part: WithPart,
    /// Checks on what is to be written, before the part.
    before: Option<(Alias, Select)>,
    writes: Writes,
}

/// A table's name as SQL has it.
fn name_of(planner: &Planner<'_>, table: TrackedId) -> Result<QualifiedName, PlanError> {
    let table = planner.table(table)?;
    Ok(QualifiedName::new(&table.schema, &table.name)?)
}

fn column_name(
    planner: &Planner<'_>,
    table: TrackedId,
    column: crate::catalog::model::ColumnId,
) -> Result<Ident, PlanError> {
    let column = planner.table(table)?.column(column).ok_or(PlanError::Missing("a column"))?;
    Ok(Ident::new(column.name.clone())?)
}

/// A name that no column has.
fn free_name(taken: &[Ident]) -> Result<Ident, PlanError> {
    let mut name = String::from("ok");
    while taken.iter().any(|other| other.as_str() == name) {
        name.push('_');
    }
    Ok(Ident::new(name)?)
}

/// The value of a column of the one row that a step returns.
fn cell(step: usize, column: &Ident) -> Operand {
    Operand::Earlier(Earlier::Cell { step, column: column.as_str().into() })
}
