//! `actions.graphql`: the types of actions as Hasura's CLI writes them, in the
//! schema definition language. What else metadata says of actions is in
//! `actions.yaml`.
//!
//! ```graphql
//! extend type Mutation { login(name: String!): Login }
//! type Login { token: String! }
//! ```

use apollo_parser::Parser;
use apollo_parser::cst::{self, CstNode as _};

use super::action::{
    Action, ActionArgument, ActionOperation, CustomEnum, CustomEnumValue, CustomScalar,
    CustomTypes, InputObject, OutputObject,
};

/// What the language can say of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ActionTypes {
    pub name: String,
    pub operation: ActionOperation,
    pub arguments: Vec<ActionArgument>,
    pub output_type: String,
}

/// Reads a file; an error says what is wrong with it.
pub(super) fn read(text: &str) -> Result<(Vec<ActionTypes>, CustomTypes), String> {
    let mut actions = Vec::new();
    let mut types = CustomTypes::default();
    // Without anything there are no definitions, which the parser takes for an
    // error.
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(blank) {
        return Ok((actions, types));
    }
    let tree = Parser::new(text).parse();
    if let Some(error) = tree.errors().next() {
        let line = text.get(..error.index()).map_or(1, |before| before.lines().count().max(1));
        return Err(format!("line {line}: {}", error.message()));
    }
    for definition in tree.document().definitions() {
        match definition {
            cst::Definition::ObjectTypeDefinition(node) => {
                let (name, fields) = (name(node.name())?, node.fields_definition());
                match operation(&name) {
                    Some(operation) => add_actions(&mut actions, operation, fields)?,
                    None => types.objects.push(OutputObject {
                        name: name.into(),
                        description: description(node.description()),
                        fields: object_fields(fields)?,
                        relationships: Vec::new(),
                    }),
                }
            }
            cst::Definition::ObjectTypeExtension(node) => {
                let name = name(node.name())?;
                let operation = operation(&name).ok_or_else(|| {
                    format!("only Query and Mutation can be extended, not {name}")
                })?;
                add_actions(&mut actions, operation, node.fields_definition())?;
            }
            cst::Definition::InputObjectTypeDefinition(node) => {
                let fields = node.input_fields_definition();
                let fields = fields.into_iter().flat_map(|fields| fields.input_value_definitions());
                types.input_objects.push(InputObject {
                    name: name(node.name())?.into(),
                    description: description(node.description()),
                    fields: fields.map(|field| argument(&field)).collect::<Result<_, _>>()?,
                });
            }
            cst::Definition::ScalarTypeDefinition(node) => types.scalars.push(CustomScalar {
                name: name(node.name())?.into(),
                description: description(node.description()),
            }),
            cst::Definition::EnumTypeDefinition(node) => {
                let values = node.enum_values_definition();
                let values = values.into_iter().flat_map(|list| list.enum_value_definitions());
                let values = values.map(|node| {
                    Ok(CustomEnumValue {
                        value: name(node.enum_value().and_then(|value| value.name()))?.into(),
                        description: description(node.description()),
                        is_deprecated: false,
                    })
                });
                types.enums.push(CustomEnum {
                    name: name(node.name())?.into(),
                    description: description(node.description()),
                    values: values.collect::<Result<_, String>>()?,
                });
            }
            other => return Err(format!("{} cannot be used for actions", other.kind())),
        }
    }
    Ok((actions, types))
}

fn operation(name: &str) -> Option<ActionOperation> {
    match name {
        "Query" => Some(ActionOperation::Query),
        "Mutation" => Some(ActionOperation::Mutation),
        _ => None,
    }
}

fn name(node: Option<cst::Name>) -> Result<String, String> {
    node.map(|node| node.text().to_string()).ok_or_else(|| "a name is missing".to_owned())
}

fn description(node: Option<cst::Description>) -> Option<String> {
    let text = node.and_then(|node| node.string_value()).map(|text| String::from(&text));
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn type_text(node: Option<cst::Type>) -> Result<String, String> {
    let node = node.ok_or("a type is missing")?;
    // As metadata writes it: without anything between the words.
    Ok(node.source_string().chars().filter(|c| !c.is_whitespace() && *c != ',').collect())
}

fn argument(node: &cst::InputValueDefinition) -> Result<ActionArgument, String> {
    Ok(ActionArgument {
        name: name(node.name())?.into(),
        ty: type_text(node.ty())?.into(),
        description: description(node.description()),
    })
}

fn object_fields(node: Option<cst::FieldsDefinition>) -> Result<Vec<ActionArgument>, String> {
    let fields = node.into_iter().flat_map(|fields| fields.field_definitions());
    let fields = fields.map(|field| {
        Ok(ActionArgument {
            name: name(field.name())?.into(),
            ty: type_text(field.ty())?.into(),
            description: description(field.description()),
        })
    });
    fields.collect()
}

fn add_actions(
    actions: &mut Vec<ActionTypes>,
    operation: ActionOperation,
    fields: Option<cst::FieldsDefinition>,
) -> Result<(), String> {
    for field in fields.into_iter().flat_map(|fields| fields.field_definitions()) {
        let arguments = field.arguments_definition();
        let arguments = arguments.into_iter().flat_map(|list| list.input_value_definitions());
        actions.push(ActionTypes {
            name: name(field.name())?,
            operation,
            arguments: arguments.map(|node| argument(&node)).collect::<Result<_, _>>()?,
            output_type: type_text(field.ty())?,
        });
    }
    Ok(())
}

/// The file for actions and their types.
pub(super) fn write(actions: &[Action], types: &CustomTypes) -> String {
    let mut out = Out(String::new());
    for action in actions {
        let definition = &action.definition;
        let root = match definition.operation {
            ActionOperation::Query => "Query",
            ActionOperation::Mutation => "Mutation",
        };
        out.line(0, &format!("extend type {root} {{"));
        out.description(1, action.comment.as_deref());
        if definition.arguments.is_empty() {
            out.line(1, &format!("{}: {}", action.name, definition.output_type));
        } else {
            out.line(1, &format!("{}(", action.name));
            out.fields(2, &definition.arguments);
            out.line(1, &format!("): {}", definition.output_type));
        }
        out.line(0, "}\n");
    }
    for scalar in &types.scalars {
        out.description(0, scalar.description.as_deref());
        out.line(0, &format!("scalar {}\n", scalar.name));
    }
    for listed in &types.enums {
        out.description(0, listed.description.as_deref());
        out.line(0, &format!("enum {} {{", listed.name));
        for value in &listed.values {
            out.description(1, value.description.as_deref());
            out.line(1, &value.value);
        }
        out.line(0, "}\n");
    }
    let inputs =
        types.input_objects.iter().map(|ty| ("input", &ty.name, &ty.description, &ty.fields));
    let objects = types.objects.iter().map(|ty| ("type", &ty.name, &ty.description, &ty.fields));
    for (word, name, description, fields) in inputs.chain(objects) {
        out.description(0, description.as_deref());
        out.line(0, &format!("{word} {name} {{"));
        out.fields(1, fields);
        out.line(0, "}\n");
    }
    out.0
}

struct Out(String);

impl Out {
    fn line(&mut self, depth: usize, text: &str) {
        self.0.push_str(&"  ".repeat(depth));
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn description(&mut self, depth: usize, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.line(depth, "\"\"\"");
            for line in text.replace("\"\"\"", "\\\"\"\"").lines() {
                self.line(depth, line);
            }
            self.line(depth, "\"\"\"");
        }
    }

    fn fields(&mut self, depth: usize, fields: &[ActionArgument]) {
        for field in fields {
            self.description(depth, field.description.as_deref());
            self.line(depth, &format!("{}: {}", field.name, field.ty));
        }
    }
}
