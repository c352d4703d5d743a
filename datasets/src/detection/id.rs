//! What a file of COCO calls a picture, a class or an object.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An id: a whole number of either sign, also one that is written as `1.0`, or text.
///
/// Numbers come in order before texts, which come in the order of their characters, as Python sorts them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// A whole number.
    Number(i128),
    /// Text.
    Text(Box<str>),
}

impl Id {
    /// The place of each id among all of them in order, from 0; that of equal ids is the same.
    pub fn ranks<'a>(ids: impl IntoIterator<Item = &'a Id>) -> HashMap<&'a Id, u64> {
        let mut sorted: Vec<&Id> = ids.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.into_iter().zip(0..).collect()
    }

    /// Whether it is the number 0, which pycocotools takes for "none" where it is an object's.
    pub fn is_zero(&self) -> bool {
        *self == Id::Number(0)
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Id {
        Id::Number(number.into())
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Id {
        Id::Text(text.into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Id::Number(number) => write!(f, "{number}"),
            Id::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Id::Number(number) => serializer.serialize_i128(*number),
            Id::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an id: a whole number or text")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Id, E> {
                Ok(number.into())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Id, E> {
                Ok(Id::Number(number.into()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Id, E> {
                // Every whole number up to this can be told from its neighbours.
                const EXACT: f64 = 9_007_199_254_740_992.0;
                if number.fract() != 0.0 || number.abs() > EXACT {
                    return Err(E::invalid_value(de::Unexpected::Float(number), &self));
                }
                Ok(Id::Number(number as i128))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_whole_numbers_however_they_are_written_or_text() {
        let read = |text: &str| serde_json::from_str::<Id>(text);
        for text in ["7", "7.0", "0.7e1"] {
            assert_eq!(read(text).unwrap(), Id::from(7));
        }
        assert_eq!(read("-3.0").unwrap(), Id::Number(-3));
        assert_eq!(read("18446744073709551615").unwrap(), Id::from(u64::MAX));
        assert_eq!(read("\"7\"").unwrap(), Id::from("7"));
        for text in ["7.5", "1e300", "null", "true", "[7]"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("expected an id: a whole number or text"), "{error}");
        }
        for id in [Id::Number(-3), Id::from(u64::MAX), Id::from("a \"b\"")] {
            let written = serde_json::to_string(&id).unwrap();
            assert_eq!((read(&written).unwrap(), id.to_string()), (id, written));
        }
        let mut ids = ["b", "10", "9"].map(Id::from).to_vec();
        ids.extend([10, 9].map(Id::from));
        ids.sort();
        assert_eq!(serde_json::to_string(&ids).unwrap(), r#"[9,10,"10","9","b"]"#);
    }
}
