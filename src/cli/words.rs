//! How option values are read: the parsers of `config` made known to the command line parser.

use std::fmt::Display;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::config::Word;

/// A parser of the words of `W`, which help text lists.
pub fn word<W: Word + Send + Sync>() -> impl TypedValueParser<Value = W> {
    let spellings: Vec<&'static str> = W::WORDS.iter().map(|(spelling, _)| *spelling).collect();
    PossibleValuesParser::new(spellings).try_map(|word| W::from_word(&word).ok_or("not one of the words"))
}

/// Checks that `value` lies within `low` and `high`.
///
/// # Errors
/// A sentence with both ends, as `show` writes them.
pub fn within<T: PartialOrd + Copy, D: Display>(
    value: T,
    low: T,
    high: T,
    show: impl Fn(T) -> D,
) -> Result<T, String> {
    if value >= low && value <= high {
        return Ok(value);
    }
    Err(format!("must be from {} to {}", show(low), show(high)))
}
