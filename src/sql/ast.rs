//! The part of SQL that the planner uses, and no more. A higher idea becomes
//! a type of `plan`, never a node here.

use super::ident::{Alias, Ident, QualifiedName};

/// Index into the statement's parameters, from 0; prints as `$n+1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParamId(pub usize);

/// A type in a cast: `"schema"."name"`, or that type's array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SqlType {
    pub name: QualifiedName,
    pub array: bool,
}

/// `SELECT … FROM … WHERE … GROUP BY … ORDER BY … LIMIT … OFFSET …`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Select {
    pub distinct_on: Vec<Expr>,
    pub items: Vec<SelectItem>,
    pub from: Option<From>,
    pub filter: Option<Expr>,
    pub group_by: Vec<Expr>,
    pub order_by: Vec<OrderBy>,
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
    /// The rows are locked as by an update that leaves their keys alone, and
    /// only those are found that the role may update.
    pub lock: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SelectItem {
    pub expr: Expr,
    pub name: Option<Ident>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum From {
    Table {
        name: QualifiedName,
        alias: Alias,
    },
    Select {
        select: Box<Select>,
        alias: Alias,
    },
    Function {
        call: Apply,
        alias: Alias,
    },
    /// The rows of a part of [`With`], by its name.
    Cte(Alias),
    /// `ROWS FROM (pg_catalog.unnest(array), …) AS alias("column", …)`
    Unnest {
        arrays: Vec<Expr>,
        alias: Alias,
        columns: Vec<Ident>,
    },
    /// `(VALUES (…), (…)) AS alias("column", …)`
    Values {
        rows: Vec<Vec<Expr>>,
        alias: Alias,
        columns: Vec<Ident>,
    },
}

/// `WITH name AS (…), … SELECT …`: a statement that writes, and what it
/// answers. All parts see the database as it was before the statement.
#[derive(Debug, Clone, PartialEq)]
pub struct With {
    pub parts: Vec<(Alias, WithPart)>,
    pub select: Select,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WithPart {
    Select(Select),
    Insert(Insert),
    Update(Update),
    Delete(Delete),
}

/// `INSERT INTO … AS alias (…) … ON CONFLICT … RETURNING …`
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: QualifiedName,
    pub alias: Alias,
    pub columns: Vec<Ident>,
    pub source: InsertSource,
    pub on_conflict: Option<OnConflict>,
    pub returning: Vec<SelectItem>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    /// One row of defaults; there are no columns.
    Defaults,
    /// `VALUES (…), (…)`; `None` is DEFAULT.
    Values(Vec<Vec<Option<Expr>>>),
    Select(Box<Select>),
}

/// `ON CONFLICT [ON CONSTRAINT …] DO …`
#[derive(Debug, Clone, PartialEq)]
pub struct OnConflict {
    /// `None` is any, which only a `DO NOTHING` takes.
    pub constraint: Option<Ident>,
    /// `None` does nothing.
    pub update: Option<ConflictUpdate>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConflictUpdate {
    pub set: Vec<(Ident, Option<Expr>)>,
    pub filter: Expr,
}

/// `UPDATE … AS alias SET … WHERE … RETURNING …`
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub table: QualifiedName,
    pub alias: Alias,
    /// `None` is DEFAULT.
    pub set: Vec<(Ident, Option<Expr>)>,
    pub filter: Expr,
    pub returning: Vec<SelectItem>,
}

/// `DELETE FROM … AS alias WHERE … RETURNING …`
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub table: QualifiedName,
    pub alias: Alias,
    pub filter: Expr,
    pub returning: Vec<SelectItem>,
}

/// A call of a function of the user's: `"schema"."name"(…)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    pub function: QualifiedName,
    pub args: Vec<ApplyArg>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ApplyArg {
    /// `name => value`
    pub name: Option<Ident>,
    pub value: Expr,
    pub variadic: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrderBy {
    pub expr: Expr,
    pub direction: Direction,
    pub nulls: Option<Nulls>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Asc,
    Desc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    First,
    Last,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `alias."column"`
    Column(Alias, Ident),
    /// `alias.*`: the whole row, as the argument of a function.
    Row(Alias),
    /// `($n)::type`
    Param(ParamId, SqlType),
    /// A string literal made by us (type names, JSON keys), never by a user.
    Text(String),
    Int(i64),
    Bool(bool),
    Null,
    Binary(Box<Expr>, BinaryOp, Box<Expr>),
    /// `left op ANY (right)`
    Any(Box<Expr>, BinaryOp, Box<Expr>),
    /// `left op ALL (right)`
    All(Box<Expr>, BinaryOp, Box<Expr>),
    /// `left op ANY (SELECT …)`
    AnyRow(Box<Expr>, BinaryOp, Box<Select>),
    /// `left op ALL (SELECT …)`
    AllRows(Box<Expr>, BinaryOp, Box<Select>),
    /// `ARRAY[…]::type`
    Array(Vec<Expr>, SqlType),
    /// `ARRAY(SELECT …)`
    ArrayOf(Box<Select>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    IsNotNull(Box<Expr>),
    /// `pg_catalog.function(args)`
    Call(&'static str, Vec<Expr>),
    Apply(Apply),
    /// `pg_catalog.function(DISTINCT args)`; over rows when there are none.
    Aggregate {
        function: &'static str,
        distinct: bool,
        args: Vec<Expr>,
    },
    /// `(a, b)`
    Tuple(Vec<Expr>),
    /// `CASE WHEN … THEN … END`: NULL where the condition does not hold.
    When(Box<Expr>, Box<Expr>),
    /// `CASE WHEN … THEN … ELSE … END`
    Case {
        when: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `excluded."column"`: of the row that was to be inserted.
    Excluded(Ident),
    Coalesce(Vec<Expr>),
    Exists(Box<Select>),
    Scalar(Box<Select>),
    Cast(Box<Expr>, SqlType),
    /// `value COLLATE "C"`
    Bytewise(Box<Expr>),
}

/// An operator, printed as `OPERATOR("schema".op)` so that no operator that
/// someone puts into the search path can take its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryOp {
    /// `None` is `pg_catalog`.
    pub schema: Option<Ident>,
    pub symbol: &'static str,
}

impl BinaryOp {
    pub const fn catalog(symbol: &'static str) -> Self {
        BinaryOp { schema: None, symbol }
    }
}

impl Expr {
    /// `left = right`
    pub fn equals(left: Expr, right: Expr) -> Expr {
        Expr::Binary(Box::new(left), BinaryOp::catalog("="), Box::new(right))
    }

    /// The conjunction, with `true` dropped and nested conjunctions flattened;
    /// nothing is `true`. `false` does not swallow the other parts: they may
    /// hold parameters, and a statement must use all that it is sent.
    pub fn and(parts: impl IntoIterator<Item = Expr>) -> Expr {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Expr::Bool(true) => {}
                Expr::And(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Expr::Bool(true),
            1 => kept.remove(0),
            _ => Expr::And(kept),
        }
    }

    /// The disjunction, folded like [`Expr::and`]; nothing is `false`.
    pub fn or(parts: impl IntoIterator<Item = Expr>) -> Expr {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Expr::Bool(false) => {}
                Expr::Or(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Expr::Bool(false),
            1 => kept.remove(0),
            _ => Expr::Or(kept),
        }
    }

    pub fn negate(inner: Expr) -> Expr {
        match inner {
            Expr::Bool(value) => Expr::Bool(!value),
            other => Expr::Not(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conjunctions_fold() {
        let x = Expr::IsNull(Box::new(Expr::Int(1)));
        assert_eq!(Expr::and([]), Expr::Bool(true));
        assert_eq!(Expr::and([Expr::Bool(true), x.clone()]), x);
        assert_eq!(
            Expr::and([x.clone(), Expr::Bool(false)]),
            Expr::And(vec![x.clone(), Expr::Bool(false)])
        );
        assert_eq!(Expr::or([]), Expr::Bool(false));
        assert_eq!(Expr::or([Expr::Bool(false), x.clone()]), x);
        assert_eq!(Expr::negate(Expr::or([])), Expr::Bool(true));
    }
}
