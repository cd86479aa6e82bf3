//! The types of values that settings have, and how their text is read.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use super::setting::Setting;
use crate::base::Secret;

impl Setting for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Setting for bool {
    const KIND: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => Err(format!("expected true or false, got \"{text}\"")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! number {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            const KIND: &'static str = "number";

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| {
                    format!(
                        "expected a whole number from {} to {}, got \"{text}\"",
                        <$type>::MIN,
                        <$type>::MAX
                    )
                })
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

number!(u16, u32, NonZeroU32);

impl Setting for IpAddr {
    const KIND: &'static str = "IP address";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
            _ => text.parse().map_err(|_| {
                format!("expected an IP address such as 127.0.0.1 or 0.0.0.0, got \"{text}\"")
            }),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for IpNet {
    const KIND: &'static str = "network";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| format!("expected a network such as 10.0.0.0/8, got \"{text}\""))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// The units of a duration, longest first so that `show` picks the shortest text.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Setting for Duration {
    const KIND: &'static str = "duration (`500ms`, `10s`, `5m`, `1h`, `1d`)";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a duration such as 500ms, 10s or 5m, got \"{text}\"");
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(|| {
            if text.is_empty() { wrong() } else { format!("{}; a unit is missing", wrong()) }
        })?;
        let (digits, unit) = text.split_at(split);
        let count: u64 = digits.parse().map_err(|_| wrong())?;
        let unit = unit.trim();
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        count.checked_mul(*millis).map(Duration::from_millis).ok_or_else(wrong)
    }

    fn show(&self) -> String {
        let millis = self.as_millis();
        for (name, size) in UNITS {
            let size = u128::from(size);
            if millis >= size && millis.is_multiple_of(size) {
                return format!("{}{name}", millis / size);
            }
        }
        "0s".to_owned()
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// As a length in memory; saturates where an address is narrower.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Setting for ByteSize {
    const KIND: &'static str = "size (`64KiB`, `1MiB`, `1GiB`)";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a size such as 64KiB or 1MiB, got \"{text}\"");
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let count: u64 = digits.parse().map_err(|_| wrong())?;
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            _ => return Err(wrong()),
        };
        count.checked_mul(factor).map(ByteSize).ok_or_else(wrong)
    }

    fn show(&self) -> String {
        for (name, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            let size = 1u64 << shift;
            if self.0 >= size && self.0.is_multiple_of(size) {
                return format!("{}{name}", self.0 / size);
            }
        }
        format!("{}B", self.0)
    }
}

/// `""`, `off` and `auto` stand for the absent value.
impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "off" | "auto" => Ok(None),
            _ => T::parse(text).map(Some),
        }
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(text) => Self::parse(text),
            _ => T::from_toml(value).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "off".to_owned(), T::show)
    }
}

impl<T: Setting> Setting for Secret<T> {
    const KIND: &'static str = T::KIND;
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        // The parser's message may quote the text, so it is not passed on.
        T::parse(text).map(Secret::new).map_err(|_| format!("expected {}", T::KIND))
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        T::from_toml(value).map(Secret::new).map_err(|_| format!("expected {}", T::KIND))
    }

    fn show(&self) -> String {
        "***".to_owned()
    }
}

/// A TOML array, or text with commas.
impl<T: Setting> Setting for Vec<T> {
    const KIND: &'static str = "list (array in the file, commas elsewhere)";

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Array(items) => items.iter().map(T::from_toml).collect(),
            toml::Value::String(text) => Self::parse(text),
            _ => Err("expected an array of texts".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.iter().map(T::show).collect::<Vec<_>>().join(",")
    }
}

/// Names to names; a table in the file, `a=b,c=d` elsewhere.
pub type NameMap = BTreeMap<String, String>;

impl Setting for NameMap {
    const KIND: &'static str = "table (`a=b,c=d` elsewhere)";
    const TABLE: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let mut map = NameMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("expected name=value pairs, got \"{pair}\""))?;
            insert_name(&mut map, name.trim(), value.trim())?;
        }
        Ok(map)
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let table = match value {
            toml::Value::Table(table) => table,
            toml::Value::String(text) => return Self::parse(text),
            _ => return Err("expected a table of texts".to_owned()),
        };
        let mut map = NameMap::new();
        for (name, value) in table {
            let text = value.as_str().ok_or_else(|| format!("{name}: expected text"))?;
            insert_name(&mut map, name, text)?;
        }
        Ok(map)
    }

    fn show(&self) -> String {
        self.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    }
}

fn insert_name(map: &mut NameMap, name: &str, value: &str) -> Result<(), String> {
    if name.is_empty() || value.is_empty() {
        return Err("a name and its value must not be empty".to_owned());
    }
    match map.insert(name.to_owned(), value.to_owned()) {
        None => Ok(()),
        Some(_) => Err(format!("\"{name}\" is given twice")),
    }
}

/// JWT secrets in Hasura's JSON form: one object or a list of them. Their
/// meaning is read by the session floor; here only the outer shape is.
#[derive(Clone, PartialEq, Default)]
pub struct JwtSecrets(Vec<serde_json::Value>);

impl JwtSecrets {
    /// Each one a JSON object as in `HASURA_GRAPHQL_JWT_SECRET`.
    pub fn expose(&self) -> &[serde_json::Value] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn from_json(value: serde_json::Value) -> Result<Self, String> {
        let items = match value {
            serde_json::Value::Array(items) => items,
            object => vec![object],
        };
        if items.iter().all(serde_json::Value::is_object) {
            Ok(JwtSecrets(items))
        } else {
            Err(format!("expected {}", Self::KIND))
        }
    }
}

impl fmt::Debug for JwtSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Setting for JwtSecrets {
    const KIND: &'static str =
        "JSON object or array of objects such as `{\"type\":\"HS256\",\"key\":\"…\"}`";
    const SECRET: bool = true;
    const TABLE: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(JwtSecrets::default());
        }
        // The parser's message may quote the text, so only the place is passed on.
        let value = serde_json::from_str(text).map_err(|error| {
            format!(
                "expected {}; the JSON is broken at line {}, column {}",
                Self::KIND,
                error.line(),
                error.column()
            )
        })?;
        Self::from_json(value)
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        if let toml::Value::String(text) = value {
            return Self::parse(text);
        }
        let json = serde_json::to_value(value).map_err(|_| format!("expected {}", Self::KIND))?;
        Self::from_json(json)
    }

    fn show(&self) -> String {
        if self.0.is_empty() { "off".to_owned() } else { format!("*** ({})", self.0.len()) }
    }
}

/// Declares an enumeration whose words are the values of a setting.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        $name:ident: $kind:literal { $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal),+ $(,)? }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])* $variant,)+
        }

        impl $name {
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl $crate::config::setting::Setting for $name {
            const KIND: &'static str = $kind;

            fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Ok($name::$variant),)+
                    _ => Err(format!("expected {}, got \"{text}\"", Self::KIND)),
                }
            }

            fn show(&self) -> String {
                self.as_str().to_owned()
            }
        }
    };
}

pub(super) use choice;

/// For numbers of which at least one is needed.
pub(super) fn positive<T: PartialEq + From<u8>>(value: &T) -> Result<(), String> {
    if *value == T::from(0) { Err("must be at least 1".to_owned()) } else { Ok(()) }
}

/// For durations that would make everything time out.
pub(super) fn not_zero(value: &Duration) -> Result<(), String> {
    if value.is_zero() { Err("must be longer than zero".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for text in ["500ms", "10s", "5m", "1h", "2d", "90s"] {
            assert_eq!(Duration::parse(text).map(|d| d.show()), Ok(text.to_owned()));
        }
        for text in ["", "10", "s", "10 parsecs", "-1s", "99999999999999999999d"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_round_trip() {
        for text in ["1MiB", "64KiB", "3GiB", "17B"] {
            assert_eq!(ByteSize::parse(text).map(|s| s.show()), Ok(text.to_owned()));
        }
        assert_eq!(ByteSize::parse("2mb"), Ok(ByteSize(2_000_000)));
        assert!(ByteSize::parse("MiB").is_err());
    }

    #[test]
    fn maps_read_pairs_and_tables() {
        let map = NameMap::parse("user=app_user, admin = app_admin").expect("pairs");
        assert_eq!(map.show(), "admin=app_admin,user=app_user");
        assert!(NameMap::parse("user").is_err());
        assert!(NameMap::parse("a=b,a=c").is_err());
    }

    #[test]
    fn jwt_secrets_never_show() {
        let secrets = JwtSecrets::parse(r#"{"type":"HS256","key":"hush"}"#).expect("an object");
        assert_eq!(format!("{secrets:?} {}", secrets.show()), "*** *** (1)");
        let error = JwtSecrets::parse(r#"{"type":"HS256","key":"hush""#).expect_err("broken");
        assert!(!error.contains("hush"), "{error}");
    }
}
