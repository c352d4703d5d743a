//! What a key takes: types and bounds.

use std::fmt;

use toml::Value;

/// The numbers from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    low: f64,
    /// Whether `low` is not one of them.
    above: bool,
    high: f64,
    /// Whether `high` is not one of them.
    below: bool,
}

impl Bounds {
    /// Both ends are allowed.
    pub(crate) const fn new(low: f64, high: f64) -> Self {
        Self { low, above: false, high, below: false }
    }

    /// What the number must be, if it is none of these. NaN and infinity never are.
    pub(crate) fn check(self, number: f64) -> Result<(), String> {
        let Self { low, above, high, below } = self;
        if !number.is_finite() {
            Err(format!("a number {self}"))
        } else if number < low || (above && number == low) {
            Err(format!("{} {}", if above { "above" } else { "at least" }, shown(low)))
        } else if number > high || (below && number == high) {
            Err(format!("{} {}", if below { "below" } else { "at most" }, shown(high)))
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = [shown(self.low), shown(self.high)];
        match (self.above, self.below) {
            (false, false) => write!(f, "from {low} to {high}"),
            (false, true) => write!(f, "from {low} to below {high}"),
            (true, false) => write!(f, "above {low} up to {high}"),
            (true, true) => write!(f, "above {low} and below {high}"),
        }
    }
}

/// A bound with few digits.
fn shown(number: f64) -> String {
    if number.abs() < 1e7 { number.to_string() } else { format!("{number:e}") }
}

/// A type, and which of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Takes {
    Text,
    Folder,
    Flag,
    /// One of the words that are listed for the key.
    Choice,
    /// A whole number.
    Whole(i64, i64),
    Number(Bounds),
    /// So many texts in a list; 0 for any number.
    Texts(usize),
    /// Whole numbers in a list of a length from … to ….
    Wholes(i64, i64, [usize; 2]),
    /// So many numbers in a list.
    Numbers(Bounds, usize),
}

pub(super) const fn whole(low: i64, high: i64) -> Takes {
    Takes::Whole(low, high)
}

/// Both ends are allowed.
pub(super) const fn number(low: f64, high: f64) -> Takes {
    Takes::Number(Bounds::new(low, high))
}

/// All but `high`.
pub(super) const fn below(low: f64, high: f64) -> Takes {
    Takes::Number(Bounds { low, above: false, high, below: true })
}

/// All but `low`.
pub(super) const fn above(low: f64, high: f64) -> Takes {
    Takes::Number(Bounds { low, above: true, high, below: false })
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Takes::Text => write!(f, "text"),
            Takes::Folder => write!(f, "folder"),
            Takes::Flag => write!(f, "true or false"),
            Takes::Choice => write!(f, "choice"),
            Takes::Whole(low, i64::MAX) => write!(f, "whole number from {low}"),
            Takes::Whole(low, high) => write!(f, "whole number from {low} to {high}"),
            Takes::Number(bounds) => write!(f, "number {bounds}"),
            Takes::Texts(0) => write!(f, "list of texts"),
            Takes::Texts(count) => write!(f, "list of {count} texts"),
            Takes::Wholes(low, high, [least, most]) if least == most => {
                write!(f, "list of {least} whole numbers from {low} to {high}")
            }
            Takes::Wholes(low, high, [least, most]) => {
                write!(f, "list of {least} to {most} whole numbers from {low} to {high}")
            }
            Takes::Numbers(bounds, count) => write!(f, "list of {count} numbers {bounds}"),
        }
    }
}

impl Takes {
    /// Whether it is made of numbers.
    #[cfg(test)]
    pub(super) fn is_numeric(&self) -> bool {
        !matches!(self, Takes::Text | Takes::Folder | Takes::Flag | Takes::Choice | Takes::Texts(_))
    }

    /// In words; `words` are those of a choice.
    pub(crate) fn words(&self, words: &[&str]) -> String {
        match self {
            Takes::Choice => format!("one of {}", words.join(", ")),
            Takes::Text | Takes::Flag => self.to_string(),
            _ => format!("a {self}"),
        }
    }

    /// What a value must be, if it is not that: it completes the sentence "KEY must be …". `words` are those of a choice.
    pub(crate) fn check(&self, value: &Value, words: &[&str]) -> Result<(), String> {
        let number =
            |value: &Value| value.as_float().or(value.as_integer().map(|whole| whole as f64));
        let is_right = match (self, value) {
            (Takes::Text | Takes::Folder, Value::String(_)) => true,
            (Takes::Flag, Value::Boolean(_)) => true,
            (Takes::Choice, Value::String(word)) => words.contains(&word.as_str()),
            (Takes::Whole(low, high), Value::Integer(whole)) if whole < low => {
                return Err(format!("at least {low}"));
            }
            (Takes::Whole(_, high), Value::Integer(whole)) if whole > high => {
                return Err(format!("at most {high}"));
            }
            (Takes::Whole(..), Value::Integer(_)) => true,
            (Takes::Number(bounds), value) => match number(value) {
                Some(number) => return bounds.check(number),
                None => false,
            },
            (Takes::Texts(count), Value::Array(list)) => {
                (*count == 0 || list.len() == *count) && list.iter().all(Value::is_str)
            }
            (Takes::Wholes(low, high, [least, most]), Value::Array(list)) => {
                let fits =
                    |value: &Value| value.as_integer().is_some_and(|x| (*low..=*high).contains(&x));
                (*least..=*most).contains(&list.len()) && list.iter().all(fits)
            }
            (Takes::Numbers(bounds, count), Value::Array(list)) => {
                let fits = |value: &Value| number(value).is_some_and(|x| bounds.check(x).is_ok());
                list.len() == *count && list.iter().all(fits)
            }
            _ => false,
        };
        if is_right { Ok(()) } else { Err(self.words(words)) }
    }
}
