//! JSON that is read into no more memory than a reply may take.
//!
//! Bytes alone bound nothing: `[{"":0},{"":0},…]` of 16 MiB is two million objects, and each of them takes
//! seventy times as much in memory as in the reply. The depth is bounded by `serde_json` (128).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What a reply may take in memory, in bytes: 128 MiB. A group of 100,000 members fits, which has no smaller
/// page to fall back on.
pub const MAX_MEMORY: usize = 128 * 1024 * 1024;

/// An item of a list, twice: a list that grows has room to spare.
const OF_ITEM: usize = 2 * size_of::<Value>();
/// An entry of an object.
const OF_ENTRY: usize = size_of::<String>() + size_of::<Value>();
/// Room is made for so many entries at once.
const ENTRIES_AT_ONCE: usize = 11;
/// A text besides its bytes: what the allocator takes.
const OF_TEXT: usize = 16;

/// Why there is no value.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// It would take more than [`MAX_MEMORY`].
    TooLarge,
    /// It is no JSON, or nested too deeply.
    NotJson,
}

/// Reads one JSON value that is all there is.
///
/// # Errors
/// As [`Unread`] says.
pub fn read(bytes: &[u8]) -> Result<Value, Unread> {
    let left = Cell::new(Some(MAX_MEMORY));
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Within(&left).deserialize(&mut reader);
    match value.and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(_) if left.get().is_none() => Err(Unread::TooLarge),
        Err(_) => Err(Unread::NotJson),
    }
}

/// Reads a value within what is left; `None` once it was exceeded.
#[derive(Clone, Copy)]
struct Within<'a>(&'a Cell<Option<usize>>);

impl Within<'_> {
    fn spend<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.0.get().and_then(|left| left.checked_sub(bytes));
        self.0.set(left);
        // Nobody is shown it: whether it was this is read from what is left.
        left.map(|_| ()).ok_or_else(|| E::custom("too large"))
    }
}

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.spend(OF_TEXT + value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            self.spend(OF_ITEM)?;
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if object.len().is_multiple_of(ENTRIES_AT_ONCE) {
                self.spend(OF_ENTRY * ENTRIES_AT_ONCE)?;
            }
            self.spend(OF_TEXT + name.len())?;
            let value = entries.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_small_and_takes_much_memory_is_refused() {
        for (item, why) in [
            (
                r#"{"":0}"#,
                "an object of one entry takes as much as one of eleven",
            ),
            ("0", "numbers"),
            ("[]", "lists"),
            (r#""""#, "texts"),
        ] {
            let items = format!("{item},").repeat(16 * 1024 * 1024 / (item.len() + 1) - 1);
            let text = format!("[{items}{item}]");
            assert_eq!(read(text.as_bytes()), Err(Unread::TooLarge), "{why}");
        }
    }

    #[test]
    fn a_group_of_many_thousands_is_read() {
        let member = |n: usize| {
            json!({
                "value": format!("{n:08}-7f3a-4c11-9d2e-0123456789ab"), "type": "User",
                "display": format!("person-{n}@example.com"),
                "$ref": format!("https://scim.example.com/v2/Users/{n:08}-7f3a-4c11-9d2e-0123456789ab")
            })
        };
        let members: Vec<Value> = (0..60_000).map(member).collect();
        let group = json!({"id": "1", "members": members});
        let text = group.to_string();
        assert!(text.len() < 16 * 1024 * 1024, "{}", text.len());
        assert_eq!(read(text.as_bytes()).unwrap(), group);
    }

    #[test]
    fn what_follows_the_value_is_no_part_of_it() {
        assert_eq!(read(b"{} {}"), Err(Unread::NotJson));
        assert_eq!(read(b"{"), Err(Unread::NotJson));
        assert_eq!(read(b" {} \n").unwrap(), json!({}));
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(text in r#"[\[\]{}:,"a0-9.eE \\u-]{0,40}|-?[0-9]{1,30}(\.[0-9]{1,20})?([eE]-?[0-9]{1,3})?"#) {
            let usual: Option<Value> = serde_json::from_str(&text).ok();
            prop_assert_eq!(read(text.as_bytes()).ok(), usual);
        }
    }

    #[test]
    fn a_group_of_a_hundred_thousand_is_read() {
        let member = |n: usize| {
            let id = format!("{n:08}-0000-4000-8000-000000000000");
            format!(r#"{{"value":"{id}","$ref":"../Users/{id}","display":"Somebody {n}"}}"#)
        };
        let members: Vec<String> = (0..100_000).map(member).collect();
        let group = format!(r#"{{"id":"1","members":[{}]}}"#, members.join(","));
        assert!(group.len() < 16 * 1024 * 1024, "{}", group.len());
        let read = read(group.as_bytes()).unwrap();
        assert_eq!(read["members"].as_array().map(Vec::len), Some(100_000));
    }
}
