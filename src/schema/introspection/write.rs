//! Bound selections of introspection → JSON.

use std::borrow::Cow;

use indexmap::IndexMap;

use crate::graphql::Name;
use crate::schema::build::Types;
use crate::schema::scalars::BOOLEAN;
use crate::schema::types::{
    ArgDef, FieldDef, InputField, Kind, Root, TypeDef, TypeId, TypeRef, Wrap,
};

use super::meta::{DIRECTIVES, DirectiveArg, DirectiveDef, MetaField};
use super::{
    IntrospectionError, MAX_BYTES, PLACEHOLDER, PLACEHOLDER_TEXT, Selected, Selection,
    default_value, reachable,
};

type Written = Result<(), IntrospectionError>;

/// The answer to a root as JSON text: of the whole schema, or of a type by its
/// name.
pub fn describe(
    types: &Types,
    name: Option<&str>,
    selection: &[Selected],
    out: &mut Vec<u8>,
) -> Result<(), IntrospectionError> {
    let mut writer = Writer { types, out };
    match name {
        None => writer.schema(selection),
        Some(name) => match types.by_name(name) {
            Some(id) if !types.is_bare(id) => writer.named(id, selection),
            _ => {
                writer.raw("null");
                Ok(())
            }
        },
    }
}

/// How a type is wrapped, from the outside in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    NonNull,
    List,
}

fn layers(wrap: Wrap) -> Vec<Layer> {
    let (depth, non_null) = wrap.levels();
    let mut out = Vec::new();
    for level in (0..=depth).rev() {
        if non_null >> level & 1 == 1 {
            out.push(Layer::NonNull);
        }
        if level > 0 {
            out.push(Layer::List);
        }
    }
    out
}

/// A field of an input, an argument, or an argument of a directive.
struct Value<'a> {
    name: &'a str,
    description: Option<&'a str>,
    ty: TypeRef,
    default: Option<&'a str>,
}

impl<'a> Value<'a> {
    fn of_arg((name, arg): (&'a Name, &'a ArgDef)) -> Self {
        Value { name, description: arg.description.as_deref(), ty: arg.ty, default: None }
    }

    fn of_field((name, field): (&'a Name, &'a InputField)) -> Self {
        let default = default_value(field.kind);
        Value { name, description: field.description.as_deref(), ty: field.ty, default }
    }

    /// What stands in an input without fields.
    const PLACEHOLDER: Value<'static> = Value {
        name: PLACEHOLDER,
        description: Some(PLACEHOLDER_TEXT),
        ty: TypeRef::nullable(TypeId::Scalar(BOOLEAN)),
        default: None,
    };

    fn of_directive(arg: &'a DirectiveArg) -> Self {
        Value { name: arg.name, description: arg.description, ty: arg.ty, default: arg.default }
    }
}

/// The entries of a map in the order of their names.
fn sorted<T>(map: &IndexMap<Name, T>) -> Vec<(&Name, &T)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries
}

struct Writer<'a> {
    types: &'a Types,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A string of JSON.
    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        for c in text.chars() {
            match c {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '\r' => self.raw("\\r"),
                '\t' => self.raw("\\t"),
                c if c < ' ' => self.raw(&format!("\\u{:04x}", u32::from(c))),
                c => self.raw(c.encode_utf8(&mut [0; 4])),
            }
        }
        self.out.push(b'"');
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    fn object(
        &mut self,
        selection: &[Selected],
        mut field: impl FnMut(&mut Self, MetaField, &[Selected]) -> Written,
    ) -> Written {
        if self.out.len() > MAX_BYTES {
            return Err(IntrospectionError::TooLong);
        }
        self.out.push(b'{');
        for (index, selected) in selection.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.text(&selected.key);
            self.out.push(b':');
            match &selected.field {
                Selection::Typename(name) => self.text(name),
                Selection::Leaf(meta) => field(self, *meta, &[])?,
                Selection::Nested(meta, selection) => field(self, *meta, selection)?,
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Self, T) -> Written,
    ) -> Written {
        self.out.push(b'[');
        for (index, value) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            item(self, value)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn schema(&mut self, selection: &[Selected]) -> Written {
        self.object(selection, |writer, field, selection| {
            let root = match field {
                MetaField::QueryType => Root::Query,
                MetaField::MutationType => Root::Mutation,
                MetaField::SubscriptionType => Root::Subscription,
                MetaField::Types => {
                    return writer.list(reachable(writer.types), |writer, (_, id)| {
                        writer.named(id, selection)
                    });
                }
                MetaField::Directives => {
                    return writer.list(DIRECTIVES, |writer, directive| {
                        writer.directive(directive, selection)
                    });
                }
                _ => {
                    writer.raw("null");
                    return Ok(());
                }
            };
            if writer.types.has(TypeId::Root(root)) {
                writer.named(TypeId::Root(root), selection)
            } else {
                writer.raw("null");
                Ok(())
            }
        })
    }

    /// A type as a field or an argument has it.
    fn reference(&mut self, base: TypeId, wraps: &[Layer], selection: &[Selected]) -> Written {
        let Some((layer, inner)) = wraps.split_first() else { return self.named(base, selection) };
        self.object(selection, |writer, field, selection| {
            match field {
                MetaField::Kind => writer.text(match layer {
                    Layer::NonNull => "NON_NULL",
                    Layer::List => "LIST",
                }),
                MetaField::OfType => return writer.reference(base, inner, selection),
                _ => writer.raw("null"),
            }
            Ok(())
        })
    }

    /// A type by itself. Its definition is made when more than its name and
    /// kind is asked for.
    fn named(&mut self, id: TypeId, selection: &[Selected]) -> Written {
        let types = self.types;
        let mut made: Option<Option<Cow<'_, TypeDef>>> = None;
        self.object(selection, |writer, field, selection| {
            match field {
                MetaField::Kind => {
                    writer.text(id.kind().word());
                    return Ok(());
                }
                MetaField::Name => {
                    let name = types.name(id);
                    writer.text(&name);
                    return Ok(());
                }
                MetaField::OfType | MetaField::SpecifiedByUrl | MetaField::PossibleTypes => {
                    writer.raw("null");
                    return Ok(());
                }
                MetaField::Interfaces => {
                    writer.raw(if id.kind() == Kind::Object { "[]" } else { "null" });
                    return Ok(());
                }
                MetaField::IsOneOf => {
                    writer.raw(if id.kind() == Kind::InputObject { "false" } else { "null" });
                    return Ok(());
                }
                _ => {}
            }
            let def = made.get_or_insert_with(|| types.transient(id)).as_deref();
            match (field, def) {
                (MetaField::Description, Some(def)) => {
                    writer.optional(def.description());
                    Ok(())
                }
                (MetaField::Fields, Some(TypeDef::Object(object))) => {
                    let fields = sorted(&object.fields)
                        .into_iter()
                        .filter(|(_, field)| !types.is_bare(field.ty.base));
                    writer
                        .list(fields, |writer, (name, field)| writer.field(name, field, selection))
                }
                (MetaField::InputFields, Some(TypeDef::Input(input)))
                    if input.fields.is_empty() =>
                {
                    writer
                        .list([Value::PLACEHOLDER], |writer, value| writer.value(&value, selection))
                }
                (MetaField::InputFields, Some(TypeDef::Input(input))) => writer
                    .list(sorted(&input.fields), |writer, field| {
                        writer.value(&Value::of_field(field), selection)
                    }),
                (MetaField::EnumValues, Some(TypeDef::Enum(def))) => {
                    writer.list(sorted(&def.values), |writer, (name, value)| {
                        writer.word(name, value.description.as_deref(), selection)
                    })
                }
                _ => {
                    writer.raw("null");
                    Ok(())
                }
            }
        })
    }

    fn field(&mut self, name: &str, def: &FieldDef, selection: &[Selected]) -> Written {
        self.object(selection, |writer, field, selection| {
            match field {
                MetaField::Name => writer.text(name),
                MetaField::Description => writer.optional(def.description.as_deref()),
                MetaField::Type => {
                    return writer.reference(def.ty.base, &layers(def.ty.wrap), selection);
                }
                MetaField::Args => {
                    return writer.list(sorted(&def.args), |writer, arg| {
                        writer.value(&Value::of_arg(arg), selection)
                    });
                }
                MetaField::IsDeprecated => writer.raw("false"),
                _ => writer.raw("null"),
            }
            Ok(())
        })
    }

    fn value(&mut self, value: &Value<'_>, selection: &[Selected]) -> Written {
        self.object(selection, |writer, field, selection| {
            match field {
                MetaField::Name => writer.text(value.name),
                MetaField::Description => writer.optional(value.description),
                MetaField::Type => {
                    return writer.reference(value.ty.base, &layers(value.ty.wrap), selection);
                }
                MetaField::DefaultValue => writer.optional(value.default),
                MetaField::IsDeprecated => writer.raw("false"),
                _ => writer.raw("null"),
            }
            Ok(())
        })
    }

    fn word(&mut self, name: &str, description: Option<&str>, selection: &[Selected]) -> Written {
        self.object(selection, |writer, field, _| {
            match field {
                MetaField::Name => writer.text(name),
                MetaField::Description => writer.optional(description),
                MetaField::IsDeprecated => writer.raw("false"),
                _ => writer.raw("null"),
            }
            Ok(())
        })
    }

    fn directive(&mut self, def: &DirectiveDef, selection: &[Selected]) -> Written {
        self.object(selection, |writer, field, selection| {
            match field {
                MetaField::Name => writer.text(def.name),
                MetaField::Description => writer.text(def.description),
                MetaField::IsRepeatable => writer.raw("false"),
                MetaField::Locations => {
                    return writer.list(def.locations, |writer, location| {
                        writer.text(location);
                        Ok(())
                    });
                }
                MetaField::Args => {
                    return writer.list(def.args, |writer, arg| {
                        writer.value(&Value::of_directive(arg), selection)
                    });
                }
                _ => writer.raw("null"),
            }
            Ok(())
        })
    }
}
