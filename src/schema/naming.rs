//! How names are spelled: those that GraphQL allows, the names of tables, and
//! the two naming conventions that a source can have.
//!
//! ```text
//! hasura-default    users_by_pk  users_bool_exp  order_by  _is_null  asc
//! graphql-default   usersByPk    UsersBoolExp    orderBy   _isNull   ASC
//! ```
//!
//! What is made of a name is Hasura's, with its exceptions: a name that someone
//! gave is taken as it is, with its first letter upper-case where something
//! stands before it; relationships, computed fields, arguments of functions,
//! constraints and scalars keep their names; and the types of conditions on
//! aggregates begin with a lower-case letter.

use std::borrow::Cow;
use std::sync::Arc;

use crate::catalog::model::Table;
use crate::config::NamingConvention;
use crate::graphql::Name;
use crate::metadata::source::Affixes;

/// `/^[_A-Za-z][_0-9A-Za-z]*$/`, and not one of GraphQL's own (`__…`).
pub fn is_graphql_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    !name.starts_with("__")
        && matches!(bytes.next(), Some(b'_' | b'A'..=b'Z' | b'a'..=b'z'))
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// Makes a legal GraphQL name out of any text: other characters become `_`.
pub fn sanitize(name: &str) -> String {
    let mut out: String =
        name.chars().map(|c| if c == '_' || c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.starts_with("__") {
        out = format!("x{out}");
    }
    if !out.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
        out.insert(0, '_');
    }
    out
}

/// The words between the underscores of a name. One at the beginning belongs to
/// the first word; two in a row have an empty word between them.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let first =
        name.char_indices().skip(1).find(|(_, c)| *c == '_').map_or(name.len(), |(at, _)| at);
    let (first, rest) = name.split_at_checked(first).unwrap_or((name, ""));
    std::iter::once(first).chain(rest.split('_').skip(1))
}

pub(super) fn upper_first(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

fn lower_first(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

fn pascal(name: &str) -> String {
    words(name).map(upper_first).collect()
}

fn camel(name: &str) -> String {
    let mut words = words(name);
    words.next().map(lower_first).into_iter().chain(words.map(upper_first)).collect()
}

impl NamingConvention {
    pub const ALL: [NamingConvention; 2] =
        [NamingConvention::HasuraDefault, NamingConvention::GraphqlDefault];

    /// A field or an argument, by its words: `order_by`, `orderBy`.
    pub fn field(self, name: &str) -> Name {
        match self {
            NamingConvention::HasuraDefault => name.into(),
            NamingConvention::GraphqlDefault => camel(name).into(),
        }
    }

    /// A type that belongs to no table: `order_by`, `OrderBy`.
    pub fn type_name(self, name: &str) -> Name {
        match self {
            NamingConvention::HasuraDefault => name.into(),
            NamingConvention::GraphqlDefault => pascal(name).into(),
        }
    }

    /// A value of an enum: `asc`, `ASC`.
    pub fn value(self, word: &str) -> Name {
        match self {
            NamingConvention::HasuraDefault => word.into(),
            NamingConvention::GraphqlDefault => word.to_ascii_uppercase().into(),
        }
    }

    /// The aggregates over an array relationship, as a field.
    pub fn aggregate_field(self, relationship: &str) -> Name {
        self.field(&format!("{relationship}_aggregate"))
    }

    /// The same in an order, and over what is neither a relationship of a table
    /// nor in a condition.
    pub fn aggregate_order(self, relationship: &str) -> Name {
        match self {
            NamingConvention::HasuraDefault => format!("{relationship}_aggregate").into(),
            NamingConvention::GraphqlDefault => {
                format!("{}Aggregate", lower_first(relationship)).into()
            }
        }
    }

    /// The same in a condition.
    pub fn aggregate_condition(self, relationship: &str) -> Name {
        match self {
            NamingConvention::HasuraDefault => format!("{relationship}_aggregate").into(),
            NamingConvention::GraphqlDefault => format!("{relationship}Aggregate").into(),
        }
    }
}

/// What a source makes of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    pub convention: NamingConvention,
    type_names: Affixes,
    root_fields: Affixes,
}

impl Naming {
    pub(super) fn new(
        convention: NamingConvention,
        type_names: Affixes,
        root_fields: Affixes,
    ) -> Self {
        Naming { convention, type_names, root_fields }
    }

    /// A type with what stands around those of the source.
    pub fn type_name(&self, name: &str) -> Name {
        self.around(&self.type_names, name)
    }

    /// A root field with what stands around those of the source.
    pub fn root_field(&self, name: &str) -> Name {
        self.around(&self.root_fields, name)
    }

    fn around(&self, affixes: &Affixes, name: &str) -> Name {
        let Affixes { prefix, suffix } = affixes;
        match self.convention {
            NamingConvention::HasuraDefault => [prefix, name, suffix].concat().into(),
            NamingConvention::GraphqlDefault if prefix.is_empty() => {
                [name, &upper_first(suffix)].concat().into()
            }
            NamingConvention::GraphqlDefault => {
                [prefix, &*upper_first(name), &upper_first(suffix)].concat().into()
            }
        }
    }

    /// What is left of a type's name without what stands around it. Under
    /// graphql-default all in lower case, as its first letter may have changed.
    pub(super) fn stem_of<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        let Affixes { prefix, suffix } = &self.type_names;
        match self.convention {
            NamingConvention::HasuraDefault => {
                name.strip_prefix(prefix.as_str())?.strip_suffix(suffix.as_str()).map(Into::into)
            }
            NamingConvention::GraphqlDefault => {
                let name = name.to_ascii_lowercase();
                name.strip_prefix(&*prefix.to_ascii_lowercase())?
                    .strip_suffix(&*suffix.to_ascii_lowercase())
                    .map(|stem| stem.to_owned().into())
            }
        }
    }
}

/// The name of a table, and how names that are made of it begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stem {
    pub convention: NamingConvention,
    /// The table's own name: that of hasura-default, or the one that was given.
    pub name: Name,
    /// At the beginning of a field.
    pub lower: Name,
    /// At the beginning of a type.
    pub upper: Name,
}

impl Stem {
    /// Of a name that someone gave the table.
    pub fn given(convention: NamingConvention, name: Name) -> Self {
        Stem { convention, lower: name.clone(), upper: name.clone(), name }
    }

    /// Of a table's name in the database: in the first exposed schema its own,
    /// elsewhere with the schema in front. `None` when that is no GraphQL name.
    pub fn of(convention: NamingConvention, expose: &[String], table: &Table) -> Option<Self> {
        let schema =
            expose.first().is_none_or(|first| **first != *table.schema).then_some(&*table.schema);
        let name: Name = match schema {
            None => table.name.clone(),
            Some(schema) => Arc::from([schema, "_", table.name.as_ref()].concat()),
        };
        if !is_graphql_name(&name) {
            return None;
        }
        Some(match convention {
            NamingConvention::HasuraDefault => Stem::given(convention, name),
            NamingConvention::GraphqlDefault => {
                let parts = schema.into_iter().chain([&*table.name]);
                let upper: String = parts.map(pascal).collect();
                Stem { convention, name, lower: lower_first(&upper).into(), upper: upper.into() }
            }
        })
    }

    /// After other words.
    pub fn inner(&self) -> String {
        match self.convention {
            NamingConvention::HasuraDefault => self.name.to_string(),
            NamingConvention::GraphqlDefault => upper_first(&self.upper),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAPHQL: NamingConvention = NamingConvention::GraphqlDefault;

    #[test]
    fn graphql_names() {
        for good in ["a", "_a", "A9_", "_"] {
            assert!(is_graphql_name(good), "{good}");
        }
        for bad in ["", "9a", "a-b", "a b", "é", "__type", "a\"b"] {
            assert!(!is_graphql_name(bad), "{bad}");
            assert!(is_graphql_name(&sanitize(bad)), "{bad}");
        }
    }

    #[test]
    fn words_of_fields_and_types() {
        for (name, field, ty) in [
            ("order_by", "orderBy", "OrderBy"),
            ("id", "id", "Id"),
            ("_is_null", "_isNull", "_isNull"),
            ("_st_3d_d_within", "_st3dDWithin", "_st3dDWithin"),
            ("ID", "iD", "ID"),
            ("URL_path", "uRLPath", "URLPath"),
            ("createdAt", "createdAt", "CreatedAt"),
            ("a_1", "a1", "A1"),
            ("a__b", "aB", "AB"),
            ("a_", "a", "A"),
            ("_a_", "_a", "_a"),
            ("_", "_", "_"),
            ("Int_comparison_exp", "intComparisonExp", "IntComparisonExp"),
            ("_text_comparison_exp", "_textComparisonExp", "_textComparisonExp"),
        ] {
            assert_eq!(&*GRAPHQL.field(name), field);
            assert_eq!(&*GRAPHQL.type_name(name), ty);
            assert_eq!(&*NamingConvention::HasuraDefault.field(name), name);
            assert_eq!(&*NamingConvention::HasuraDefault.type_name(name), name);
        }
        assert_eq!(&*GRAPHQL.value("asc_nulls_first"), "ASC_NULLS_FIRST");
    }

    #[test]
    fn aggregates_of_relationships() {
        for (name, field, order, condition) in [
            ("items", "itemsAggregate", "itemsAggregate", "itemsAggregate"),
            ("order_items", "orderItemsAggregate", "order_itemsAggregate", "order_itemsAggregate"),
            ("OrderItems", "orderItemsAggregate", "orderItemsAggregate", "OrderItemsAggregate"),
        ] {
            assert_eq!(&*GRAPHQL.aggregate_field(name), field);
            assert_eq!(&*GRAPHQL.aggregate_order(name), order);
            assert_eq!(&*GRAPHQL.aggregate_condition(name), condition);
        }
    }

    #[test]
    fn what_stands_around() {
        let around = |prefix: &str, suffix: &str| {
            let affixes = Affixes { prefix: prefix.to_owned(), suffix: suffix.to_owned() };
            Naming::new(GRAPHQL, affixes.clone(), affixes).type_name("usersByPk").to_string()
        };
        assert_eq!(around("", ""), "usersByPk");
        assert_eq!(around("my_", ""), "my_UsersByPk");
        assert_eq!(around("", "_x"), "usersByPk_x");
        assert_eq!(around("my", "more"), "myUsersByPkMore");
    }

    #[test]
    fn names_that_were_given() {
        use crate::schema::types::RootKind;
        for (given, by_pk, one) in [
            ("table_one", "table_oneByPk", "insertTable_oneOne"),
            ("tableOne", "tableOneByPk", "insertTableOneOne"),
            ("TableOne", "TableOneByPk", "insertTableOneOne"),
        ] {
            let stem = Stem::given(GRAPHQL, given.into());
            assert_eq!(RootKind::Select.name(&stem), given);
            assert_eq!(RootKind::SelectByPk.name(&stem), by_pk);
            assert_eq!(RootKind::InsertOne.name(&stem), one);
        }
    }
}
