//! Text → [`Document`]. Beside `metadata/sdl.rs` the only file that names the parser crate
//! (`docs/adr/0002-graphql-parser.md` says why it is this one).

use std::collections::HashSet;
use std::sync::Arc;

use apollo_parser::Parser;
use apollo_parser::cst::{self, CstNode};
use indexmap::IndexMap;

use super::ast::{
    Directive, Document, Field, Fragment, Name, OperationDefinition, OperationKind, Selection,
    TypeExpr, Value, VariableDefinition,
};

/// Bounds that hold while reading, before any tree of ours exists.
#[derive(Debug, Clone, Copy)]
pub struct ParseLimits {
    /// Nesting of selection sets, lists and objects together.
    pub depth: usize,
    pub tokens: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("not a valid graphql query")]
    Syntax { detail: String },
    #[error("the document is nested deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("the document has more than {limit} tokens")]
    TooLong { limit: usize },
    #[error("{0}")]
    Duplicate(String),
}

/// Reads an executable document. Type-system definitions are refused.
pub fn parse(text: &str, limits: ParseLimits) -> Result<Document, ParseError> {
    let tree = Parser::new(text).recursion_limit(limits.depth).token_limit(limits.tokens).parse();
    if tree.recursion_limit().high > limits.depth {
        return Err(ParseError::TooDeep { limit: limits.depth });
    }
    if tree.token_limit().high > limits.tokens {
        return Err(ParseError::TooLong { limit: limits.tokens });
    }
    if let Some(error) = tree.errors().next() {
        return Err(syntax(error.message()));
    }
    let mut document = Document { operations: Vec::new(), fragments: IndexMap::new() };
    for definition in tree.document().definitions() {
        match definition {
            cst::Definition::OperationDefinition(operation) => {
                document.operations.push(operation_definition(&operation)?);
            }
            cst::Definition::FragmentDefinition(fragment) => {
                let name = name(fragment.fragment_name().and_then(|n| n.name()))?;
                let on = name_of_condition(fragment.type_condition())?
                    .ok_or_else(|| syntax("a fragment needs a type condition"))?;
                let parsed = Fragment {
                    on,
                    directives: directives(fragment.directives())?,
                    selection: selection_set(fragment.selection_set())?,
                };
                if document.fragments.insert(name.clone(), parsed).is_some() {
                    return Err(ParseError::Duplicate(format!(
                        "multiple definitions for fragment \"{name}\""
                    )));
                }
            }
            other => return Err(syntax(&format!("{} is not executable", other.kind()))),
        }
    }
    if document.operations.is_empty() {
        return Err(syntax("the document holds no operation"));
    }
    Ok(document)
}

fn syntax(detail: &str) -> ParseError {
    ParseError::Syntax { detail: detail.to_owned() }
}

fn name(node: Option<cst::Name>) -> Result<Name, ParseError> {
    match node {
        Some(node) => Ok(Arc::from(node.text().as_str())),
        None => Err(syntax("a name is missing")),
    }
}

fn name_of_condition(node: Option<cst::TypeCondition>) -> Result<Option<Name>, ParseError> {
    node.map(|condition| name(condition.named_type().and_then(|t| t.name()))).transpose()
}

fn operation_definition(
    node: &cst::OperationDefinition,
) -> Result<OperationDefinition, ParseError> {
    let kind = match node.operation_type() {
        None => OperationKind::Query,
        Some(ty) if ty.mutation_token().is_some() => OperationKind::Mutation,
        Some(ty) if ty.subscription_token().is_some() => OperationKind::Subscription,
        Some(_) => OperationKind::Query,
    };
    let mut variables = Vec::new();
    let mut names = HashSet::new();
    if let Some(list) = node.variable_definitions() {
        for definition in list.variable_definitions() {
            let name = name(definition.variable().and_then(|v| v.name()))?;
            if !names.insert(name.clone()) {
                return Err(ParseError::Duplicate(format!(
                    "multiple definitions for variable \"{name}\""
                )));
            }
            let ty = definition.ty().ok_or_else(|| syntax("a variable needs a type"))?;
            let default = definition
                .default_value()
                .and_then(|d| d.value())
                .map(|v| value(&v))
                .transpose()?;
            variables.push(VariableDefinition { name, ty: type_expr(&ty)?, default });
        }
    }
    Ok(OperationDefinition {
        kind,
        name: node.name().map(|n| name(Some(n))).transpose()?,
        variables,
        directives: directives(node.directives())?,
        selection: selection_set(node.selection_set())?,
    })
}

fn type_expr(node: &cst::Type) -> Result<TypeExpr, ParseError> {
    let named = |node: Option<cst::NamedType>, non_null| {
        Ok(TypeExpr::Named { name: name(node.and_then(|t| t.name()))?, non_null })
    };
    let list = |node: &cst::ListType, non_null| {
        let item = node.ty().ok_or_else(|| syntax("a list type needs an item type"))?;
        Ok(TypeExpr::List { item: Box::new(type_expr(&item)?), non_null })
    };
    match node {
        cst::Type::NamedType(inner) => named(Some(inner.clone()), false),
        cst::Type::ListType(inner) => list(inner, false),
        cst::Type::NonNullType(inner) => match inner.list_type() {
            Some(inner) => list(&inner, true),
            None => named(inner.named_type(), true),
        },
    }
}

fn selection_set(node: Option<cst::SelectionSet>) -> Result<Vec<Selection>, ParseError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    node.selections()
        .map(|selection| match selection {
            cst::Selection::Field(field) => Ok(Selection::Field(Field {
                alias: field.alias().map(|a| name(a.name())).transpose()?,
                name: name(field.name())?,
                arguments: arguments(field.arguments())?,
                directives: directives(field.directives())?,
                selection: selection_set(field.selection_set())?,
            })),
            cst::Selection::FragmentSpread(spread) => Ok(Selection::Spread {
                fragment: name(spread.fragment_name().and_then(|n| n.name()))?,
                directives: directives(spread.directives())?,
            }),
            cst::Selection::InlineFragment(inline) => Ok(Selection::Inline {
                on: name_of_condition(inline.type_condition())?,
                directives: directives(inline.directives())?,
                selection: selection_set(inline.selection_set())?,
            }),
        })
        .collect()
}

fn arguments(node: Option<cst::Arguments>) -> Result<Vec<(Name, Value)>, ParseError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    node.arguments()
        .map(|argument| {
            let value_node = argument.value().ok_or_else(|| syntax("an argument needs a value"))?;
            Ok((name(argument.name())?, value(&value_node)?))
        })
        .collect()
}

fn directives(node: Option<cst::Directives>) -> Result<Vec<Directive>, ParseError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    node.directives()
        .map(|directive| {
            Ok(Directive {
                name: name(directive.name())?,
                arguments: arguments(directive.arguments())?,
            })
        })
        .collect()
}

fn value(node: &cst::Value) -> Result<Value, ParseError> {
    Ok(match node {
        cst::Value::Variable(variable) => Value::Variable(name(variable.name())?),
        cst::Value::StringValue(string) => Value::String(Arc::from(String::from(string))),
        cst::Value::FloatValue(float) => Value::Float(Arc::from(float.source_string().trim())),
        cst::Value::IntValue(int) => Value::Int(Arc::from(int.source_string().trim())),
        cst::Value::BooleanValue(boolean) => Value::Boolean(boolean.true_token().is_some()),
        cst::Value::NullValue(_) => Value::Null,
        cst::Value::EnumValue(word) => Value::Enum(name(word.name())?),
        cst::Value::ListValue(list) => {
            Value::List(list.values().map(|v| value(&v)).collect::<Result<_, _>>()?)
        }
        cst::Value::ObjectValue(object) => Value::Object(
            object
                .object_fields()
                .map(|field| {
                    let inner = field.value().ok_or_else(|| syntax("a field needs a value"))?;
                    Ok((name(field.name())?, value(&inner)?))
                })
                .collect::<Result<_, ParseError>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ParseLimits = ParseLimits { depth: 50, tokens: 10_000 };

    fn first_argument(text: &str) -> Value {
        let document = parse(text, LIMITS).expect("parses");
        match document.operations.into_iter().next().expect("one").selection.remove(0) {
            Selection::Field(mut field) => field.arguments.remove(0).1,
            other => panic!("expected a field, found {other:?}"),
        }
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(
            first_argument("{ a(x: 123456789012345678901234567890) }"),
            Value::Int("123456789012345678901234567890".into())
        );
        assert_eq!(
            first_argument("{ a(x: -0.10000000000000000000001e10) }"),
            Value::Float("-0.10000000000000000000001e10".into())
        );
    }

    #[test]
    fn strings_are_unescaped() {
        assert_eq!(
            first_argument(r#"{ a(x: "q\"\\\n\u00e9\uD83D\uDE00") }"#),
            Value::String("q\"\\\né😀".into())
        );
        assert_eq!(
            first_argument("{ a(x: \"\"\"\n  one\n    two\n\"\"\") }"),
            Value::String("one\n  two".into())
        );
    }

    #[test]
    fn bad_documents_are_refused() {
        for text in [
            "",
            "{",
            "{}",
            "{ a(x:) }",
            "query q($x) { a }",
            "type A { b: Int }",
            "{ a } }",
            "fragment F on A { b }",
            r#"{ a(x: "\uD83D") }"#,
            r#"{ a(x: "\q") }"#,
            "{ a(x: 01) }",
        ] {
            assert!(
                matches!(parse(text, LIMITS), Err(ParseError::Syntax { .. })),
                "{text:?}: {:?}",
                parse(text, LIMITS)
            );
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = format!("{}a{}", "{ a ".repeat(1000), "}".repeat(1000));
        assert_eq!(parse(&deep, LIMITS), Err(ParseError::TooDeep { limit: 50 }));
        let deep = format!("{{ a(x: {}1{}) }}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(parse(&deep, LIMITS), Err(ParseError::TooDeep { limit: 50 }));
        let long = format!("{{ {} }}", "a ".repeat(20_000));
        assert_eq!(parse(&long, LIMITS), Err(ParseError::TooLong { limit: 10_000 }));
    }
}
