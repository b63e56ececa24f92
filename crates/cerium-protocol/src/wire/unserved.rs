//! Fields that are understood well enough to know that they cannot be honoured.

use crate::ErrorBody;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What a field asks for, as far as a server needs to know that cannot do it.
///
/// Nothing, in any of the ways that clients spell it (absent, `null`, `false`, `0`, `""`, `[]`,
/// `{}`), asks for nothing. Contents of lists and objects are skipped without being stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    #[default]
    Nothing,
    Word(String),
    Something,
}

impl Asked {
    fn when(asked: bool) -> Self {
        if asked { Self::Something } else { Self::Nothing }
    }

    /// Refuses anything but nothing.
    pub(super) fn refuse(&self, name: &str) -> Result<(), ErrorBody> {
        self.refuse_unless(name, &[])
    }

    /// Refuses anything but nothing and the given words, which ask for what happens anyway.
    pub(super) fn refuse_unless(&self, name: &str, fine: &[&str]) -> Result<(), ErrorBody> {
        match self {
            Self::Nothing => Ok(()),
            Self::Word(word) if fine.contains(&word.as_str()) => Ok(()),
            Self::Word(word) => Err(ErrorBody::not_served(
                name,
                format!("`{name}` of `{}` is not served here", shorten(word, WORD_CHARS)),
            )),
            Self::Something => {
                Err(ErrorBody::not_served(name, format!("`{name}` is not served here")))
            }
        }
    }
}

/// Longest word of a request that an error repeats whole, in characters.
pub(super) const WORD_CHARS: usize = 60;

/// A text of the request as an error may repeat it: at most `max` characters of it.
pub(super) fn shorten(word: &str, max: usize) -> String {
    let mut short: String = word.chars().take(max).collect();
    if short.len() < word.len() {
        short.push_str("...");
    }
    short
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AskedVisitor)
    }
}

struct AskedVisitor;

impl<'de> Visitor<'de> for AskedVisitor {
    type Value = Asked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Asked, E> {
        Ok(Asked::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Asked, E> {
        Ok(Asked::when(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Asked, E> {
        Ok(Asked::when(value != 0))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Asked, E> {
        Ok(Asked::when(value != 0))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Asked, E> {
        Ok(Asked::when(value != 0.0))
    }

    fn visit_str<E>(self, value: &str) -> Result<Asked, E> {
        Ok(if value.is_empty() { Asked::Nothing } else { Asked::Word(value.to_owned()) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Asked, A::Error> {
        let mut asked = Asked::Nothing;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            asked = Asked::Something;
        }
        Ok(asked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Asked, A::Error> {
        let mut asked = Asked::Nothing;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            asked = Asked::Something;
        }
        Ok(asked)
    }
}
