//! Parameters as text.
//!
//! Every value travels in text *format* and Postgres decides the type, so that
//! a literal takes the type of the column it meets and numbers keep every digit.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

/// A parameter in text format; `None` is SQL NULL.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TextParam(Option<Text>);

#[derive(Clone)]
enum Text {
    Static(&'static str),
    Owned(String),
    Shared(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Text::Static(text) => text,
            Text::Owned(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl std::hash::Hash for Text {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl TextParam {
    pub const NULL: TextParam = TextParam(None);

    pub fn as_str(&self) -> Option<&str> {
        self.0.as_ref().map(Text::as_str)
    }
}

impl From<String> for TextParam {
    fn from(text: String) -> Self {
        TextParam(Some(Text::Owned(text)))
    }
}

impl From<Arc<str>> for TextParam {
    fn from(text: Arc<str>) -> Self {
        TextParam(Some(Text::Shared(text)))
    }
}

impl From<&'static str> for TextParam {
    fn from(text: &'static str) -> Self {
        TextParam(Some(Text::Static(text)))
    }
}

impl From<Cow<'static, str>> for TextParam {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl<T: Into<TextParam>> From<Option<T>> for TextParam {
    fn from(text: Option<T>) -> Self {
        text.map_or(TextParam::NULL, Into::into)
    }
}

/// Values may be personal data, so they are never printed.
impl fmt::Debug for TextParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "$text" } else { "$null" })
    }
}

impl ToSql for TextParam {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(match self.as_str() {
            Some(text) => {
                out.put_slice(text.as_bytes());
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

/// Borrowed text, for values that live as long as the call.
pub(super) struct TextRef<'a>(pub(super) &'a str);

impl fmt::Debug for TextRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$text")
    }
}

impl ToSql for TextRef<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}
