//! Headers in the payload of `connection_init`, in the forms that clients use:
//! `{"headers": {"Authorization": …}}`, as Hasura has it, and
//! `{"Authorization": …}`, in any case. A ping may bring the same.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::authn::Authenticator;

/// More than any client sends.
const HEADERS: usize = 100;

/// What a ping brings.
pub(super) enum Credentials {
    None,
    /// Nothing that is read here, and nothing to send back either.
    Elsewhere,
    Headers(HeaderMap),
}

/// Every key of an object, also those that stand there twice.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

fn pairs(raw: &RawValue) -> Result<Vec<(String, &RawValue)>, String> {
    let Pairs(pairs) = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    Ok(pairs)
}

/// The headers in the payload of `connection_init`.
pub(super) fn headers(payload: Option<&RawValue>) -> Result<HeaderMap, String> {
    let mut out = HeaderMap::new();
    let Some(payload) = payload else { return Ok(out) };
    for (name, value) in pairs(payload)? {
        match name.as_str() {
            name if is_headers(name) && value.get() == "null" => {}
            name if is_headers(name) && value.get().starts_with('{') => {
                for (name, value) in pairs(value)? {
                    let header = HeaderName::from_bytes(name.as_bytes())
                        // It may be a value in the wrong place.
                        .map_err(|_| "a key of 'headers' is no name of a header".to_owned())?;
                    if value.get() == "null" {
                        continue;
                    }
                    let text = text(value)
                        .ok_or_else(|| format!("the header {header} must be a string"))?;
                    insert(&mut out, header, &text)?;
                }
            }
            name if is_headers(name) => {
                return Err("the payload's key 'headers' must be an object".to_owned());
            }
            // Other keys may be anything of the client's own.
            name => {
                if let (Ok(header), Some(text)) =
                    (HeaderName::from_bytes(name.as_bytes()), text(value))
                {
                    insert(&mut out, header, &text)?;
                }
            }
        }
    }
    Ok(out)
}

/// Whether a header of this name proves who is asking.
pub(super) type IsProof<'a> = &'a dyn Fn(&HeaderName) -> bool;

/// The headers in the payload of a ping, if it has any. Whatever could be a
/// proof is taken for one: any other payload is sent back, except tokens under
/// a name that nothing here is read from.
pub(super) fn in_ping(
    payload: Option<&RawValue>,
    is_proof: IsProof<'_>,
) -> Result<Credentials, String> {
    let Some(payload) = payload else { return Ok(Credentials::None) };
    let pairs = pairs(payload)?;
    let brings = pairs.iter().any(|(name, value)| match name.as_str() {
        name if is_headers(name) => value.get() != "null",
        name => HeaderName::from_bytes(name.as_bytes())
            .is_ok_and(|name| name == AUTHORIZATION || is_proof(&name)),
    });
    if brings {
        return headers(Some(payload)).map(Credentials::Headers);
    }
    let is_token = |name: &str| name.to_ascii_lowercase().contains("token");
    let elsewhere = pairs.iter().any(|(name, _)| is_token(name));
    Ok(if elsewhere { Credentials::Elsewhere } else { Credentials::None })
}

fn is_headers(name: &str) -> bool {
    name.eq_ignore_ascii_case("headers")
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// One header in both forms is one header; two different values stay two, and
/// are refused where they are read.
fn insert(out: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), String> {
    let value = HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| format!("the value of the header {name} is none"))?;
    if out.get_all(&name).iter().any(|known| *known == value) {
        return Ok(());
    }
    if out.len() >= HEADERS {
        return Err(format!("the payload has more than {HEADERS} headers"));
    }
    out.append(name, value);
    Ok(())
}

/// What counts of a socket: the headers of the payload, and those of the
/// handshake that it does not replace. A proof in the payload replaces every
/// proof of the handshake, cookies too.
pub(super) fn over(handshake: &HeaderMap, payload: HeaderMap, auth: &Authenticator) -> HeaderMap {
    let proven = payload.keys().any(|name| auth.is_proof(name));
    let mut out = payload;
    let kept: Vec<&HeaderName> = handshake
        .keys()
        .filter(|name| !out.contains_key(*name) && (!proven || !auth.is_proof(name)))
        .collect();
    for name in kept {
        for value in handshake.get_all(name) {
            out.append(name.clone(), value.clone());
        }
    }
    out
}

/// Headers to keep: those that were read share the buffer of their connection.
pub(super) fn detached(headers: &HeaderMap) -> HeaderMap {
    let own = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes());
    let copied = |value: &HeaderValue| own(value).unwrap_or_else(|_| value.clone());
    headers.iter().map(|(name, value)| (name.clone(), copied(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<HeaderMap, String> {
        headers(Some(&RawValue::from_string(json.to_owned()).expect("JSON")))
    }

    #[test]
    fn all_forms_give_the_same() {
        for json in [
            r#"{"headers":{"Authorization":"Bearer x"}}"#,
            r#"{"headers":{"authorization":"Bearer x"},"lang":"de"}"#,
            r#"{"Headers":{"Authorization":"Bearer x"}}"#,
            r#"{"Authorization":"Bearer x"}"#,
            r#"{"authorization":"Bearer x","AUTHORIZATION":"Bearer x"}"#,
            r#"{"Authorization":"Bearer x","headers":{"Authorization":"Bearer x"}}"#,
            r#"{"headers":{"Authorization":"Bearer x","x-hasura-role":null},"nested":{"a":[1]},"no name":"x"}"#,
        ] {
            let found = read(json).expect(json);
            let values: Vec<_> = found.get_all("authorization").iter().collect();
            assert_eq!(values, ["Bearer x"], "{json}");
        }
        assert!(read("{}").is_ok_and(|found| found.is_empty()));
        assert!(read(r#"{"headers":null}"#).is_ok_and(|found| found.is_empty()));
        assert!(headers(None).is_ok_and(|found| found.is_empty()));
    }

    #[test]
    fn two_values_stay_two() {
        let found = read(r#"{"authorization":"a","headers":{"Authorization":"b"}}"#);
        assert_eq!(found.expect("headers").get_all("authorization").iter().count(), 2);
    }

    #[test]
    fn strange_headers_are_refused() {
        let many: Vec<String> = (0..200).map(|n| format!("\"h{n}\":\"x\"")).collect();
        for (json, what) in [
            (r#"{"headers":[]}"#, "'headers' must be an object"),
            (r#"{"headers":{"Authorization":1}}"#, "authorization must be a string"),
            (r#"{"headers":{"a b":"x"}}"#, "no name of a header"),
            (r#"{"headers":{"a":"x\ny"}}"#, "the value of the header a"),
            (r#"{"authorization":"x\u0000"}"#, "the value of the header authorization"),
            (&format!("{{\"headers\":{{{}}}}}", many.join(",")), "more than 100"),
        ] {
            assert!(read(json).expect_err(json).contains(what), "{json}");
        }
    }
}
