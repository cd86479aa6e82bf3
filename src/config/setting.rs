//! How a setting is declared.
//!
//! A section is one struct made by [`section!`](crate::config::setting::section):
//! every field has a type, a default, a documentation line and optionally
//! other environment names and a check. The same table resolves values,
//! finds unknown keys and writes `docs/CONFIG.md`.

use super::source::Resolver;

/// A value that a setting can have.
pub trait Setting: Sized {
    /// What to write, for messages and the documentation.
    const KIND: &'static str;
    /// Whether the value must not be shown; it then has a `*_FILE` variant.
    const SECRET: bool = false;
    /// Whether the file may hold a table below the key.
    const TABLE: bool = false;

    /// From an environment variable, a flag or a default.
    fn parse(text: &str) -> Result<Self, String>;

    /// From the file.
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(text) => Self::parse(text),
            toml::Value::Integer(number) => Self::parse(&number.to_string()),
            toml::Value::Float(number) => Self::parse(&number.to_string()),
            toml::Value::Boolean(flag) => Self::parse(&flag.to_string()),
            _ => Err(format!("expected {}", Self::KIND)),
        }
    }

    /// As `ringfence config check` prints it.
    fn show(&self) -> String;
}

/// Another name in the environment, and how its text becomes ours.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    pub name: &'static str,
    pub convert: fn(&str) -> Result<String, String>,
}

/// One row of the table of settings.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// `section.name`, as in the file.
    pub key: &'static str,
    pub kind: &'static str,
    pub default: &'static str,
    pub doc: &'static [&'static str],
    pub aliases: &'static [Alias],
    pub secret: bool,
    pub table: bool,
}

impl Spec {
    /// `RINGFENCE_SECTION_NAME`
    pub fn env_name(&self) -> String {
        let mut name = String::from("RINGFENCE_");
        name.extend(self.key.chars().map(|c| match c {
            '.' => '_',
            c => c.to_ascii_uppercase(),
        }));
        name
    }

    /// The documentation as one line.
    pub fn doc_line(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// A rule that a value must keep; the text says what to do.
pub(super) type Check<T> = fn(&T) -> Result<(), String>;

/// A group of settings.
pub(super) trait Section: Sized {
    const TITLE: &'static str;
    const DOC: &'static [&'static str];
    const SPECS: &'static [Spec];

    /// `None` when a problem was recorded in the resolver.
    fn resolve(resolver: &mut Resolver<'_>) -> Option<Self>;
}

/// The text of an alias as it stands.
pub(super) fn same(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Declares a section.
///
/// ```text
/// section! {
///     /// What the section is about.
///     ServerConfig "Server" "server." {
///         /// Port to listen on.
///         port: u16 = "8080", env ["PORT" => same], check positive;
///     }
/// }
/// ```
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $name:ident $title:literal $prefix:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:literal
                $(, env [$($alias:literal => $convert:path),+ $(,)?])?
                $(, check $check:path)?;
            )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $crate::config::setting::Section for $name {
            const TITLE: &'static str = $title;
            const DOC: &'static [&'static str] = &[$($section_doc),+];
            const SPECS: &'static [$crate::config::setting::Spec] = &[$(
                $crate::config::setting::Spec {
                    key: concat!($prefix, stringify!($field)),
                    kind: <$type as $crate::config::setting::Setting>::KIND,
                    default: $default,
                    doc: &[$($doc),+],
                    aliases: &[$($(
                        $crate::config::setting::Alias { name: $alias, convert: $convert },
                    )+)?],
                    secret: <$type as $crate::config::setting::Setting>::SECRET,
                    table: <$type as $crate::config::setting::Setting>::TABLE,
                },
            )+];

            fn resolve(resolver: &mut $crate::config::source::Resolver<'_>) -> Option<Self> {
                let mut specs = <Self as $crate::config::setting::Section>::SPECS.iter();
                // Every setting is looked at before the first problem stops the
                // section, so that one start reports them all.
                $(
                    let $field = specs.next().and_then(|spec| {
                        let check: Option<$crate::config::setting::Check<$type>> =
                            $crate::config::setting::section!(@check $type $(, $check)?);
                        resolver.get::<$type>(spec, check)
                    });
                )+
                Some($name { $($field: $field?,)+ })
            }
        }
    };
    (@check $type:ty) => { None };
    (@check $type:ty, $check:path) => { Some(|value: &$type| $check(value)) };
}

pub(super) use section;
