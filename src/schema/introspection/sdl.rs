//! A role's schema in the schema definition language.

use std::fmt::Write;

use crate::graphql::Name;
use crate::schema::build::Types;
use crate::schema::types::{ArgDef, Root, TypeDef, TypeId};

use super::meta::{DIRECTIVES, DirectiveDef};
use super::{PLACEHOLDER, PLACEHOLDER_TEXT, default_value, reachable};

/// The whole schema, types by name, their fields in the order of the database.
pub fn sdl(types: &Types) -> String {
    let mut out = String::new();
    out.push_str("schema {\n");
    let roots = [
        ("query", Root::Query),
        ("mutation", Root::Mutation),
        ("subscription", Root::Subscription),
    ];
    for (word, root) in roots {
        if types.has(TypeId::Root(root)) {
            line(&mut out, 1, format_args!("{word}: {}", root.name()));
        }
    }
    out.push_str("}\n");
    for directive in DIRECTIVES {
        self::directive(&mut out, types, directive);
    }
    for (_, id) in reachable(types) {
        if !matches!(id, TypeId::Meta(_))
            && let Some(def) = types.transient(id)
        {
            definition(&mut out, types, &def);
        }
    }
    out
}

fn line(out: &mut String, depth: usize, text: std::fmt::Arguments<'_>) {
    out.extend(std::iter::repeat_n("  ", depth));
    // Writing to a String cannot fail.
    if out.write_fmt(text).is_err() {
        out.clear();
    }
    out.push('\n');
}

/// A description as a block string.
fn description(out: &mut String, depth: usize, text: Option<&str>) {
    let Some(text) = text else { return };
    let text = text.replace("\"\"\"", "\\\"\"\"");
    // A quote or a backslash at the end would run into the closing quotes.
    let inline = !text.contains('\n') && !text.ends_with(['"', '\\']);
    if inline {
        line(out, depth, format_args!("\"\"\"{text}\"\"\""));
        return;
    }
    line(out, depth, format_args!("\"\"\""));
    for part in text.lines() {
        if part.is_empty() {
            out.push('\n');
        } else {
            line(out, depth, format_args!("{part}"));
        }
    }
    line(out, depth, format_args!("\"\"\""));
}

fn directive(out: &mut String, types: &Types, def: &DirectiveDef) {
    out.push('\n');
    description(out, 0, Some(def.description));
    let args: Vec<String> = def
        .args
        .iter()
        .map(|arg| {
            let default = arg.default.map(|value| format!(" = {value}")).unwrap_or_default();
            format!("{}: {}{default}", arg.name, types.display(arg.ty))
        })
        .collect();
    let (args, locations) = (args.join(", "), def.locations.join(" | "));
    line(out, 0, format_args!("directive @{}({args}) on {locations}", def.name));
}

fn arguments<'a>(
    out: &mut String,
    types: &Types,
    args: impl ExactSizeIterator<Item = (&'a Name, &'a ArgDef)>,
) {
    out.push_str("(\n");
    for (name, arg) in args {
        description(out, 2, arg.description.as_deref());
        line(out, 2, format_args!("{name}: {}", types.display(arg.ty)));
    }
    out.push_str("  )");
}

fn definition(out: &mut String, types: &Types, def: &TypeDef) {
    // The scalars that every schema has.
    if let TypeDef::Scalar(scalar) = def
        && matches!(scalar.name.as_ref(), "String" | "Int" | "Float" | "Boolean" | "ID")
    {
        return;
    }
    out.push('\n');
    description(out, 0, def.description());
    match def {
        TypeDef::Scalar(scalar) => line(out, 0, format_args!("scalar {}", scalar.name)),
        TypeDef::Enum(def) => {
            line(out, 0, format_args!("enum {} {{", def.name));
            for (name, value) in &def.values {
                description(out, 1, value.description.as_deref());
                line(out, 1, format_args!("{name}"));
            }
            out.push_str("}\n");
        }
        TypeDef::Input(def) => {
            line(out, 0, format_args!("input {} {{", def.name));
            for (name, field) in &def.fields {
                description(out, 1, field.description.as_deref());
                let default = default_value(field.kind)
                    .map(|value| format!(" = {value}"))
                    .unwrap_or_default();
                line(out, 1, format_args!("{name}: {}{default}", types.display(field.ty)));
            }
            if def.fields.is_empty() {
                description(out, 1, Some(PLACEHOLDER_TEXT));
                line(out, 1, format_args!("{PLACEHOLDER}: Boolean"));
            }
            out.push_str("}\n");
        }
        TypeDef::Object(def) => {
            line(out, 0, format_args!("type {} {{", def.name));
            for (name, field) in def.fields.iter().filter(|(_, f)| !types.is_bare(f.ty.base)) {
                description(out, 1, field.description.as_deref());
                out.push_str("  ");
                out.push_str(name);
                if !field.args.is_empty() {
                    arguments(out, types, field.args.iter());
                }
                line(out, 0, format_args!(": {}", types.display(field.ty)));
            }
            out.push_str("}\n");
        }
    }
}
