//! The query language of `file/search` (pds-api.md 9.4): text to a typed tree, and the tree to SQL.
//!
//! ```text
//! query  = any
//! any    = all { "or" all }
//! all    = not { "and" not }
//! not    = "not" not | "(" any ")" | test
//! test   = field op value | field "in" "[" value { "," value } "]"
//! op     = "=" | "<" | ">" | "<=" | ">=" | "prefix" | "match"
//! ```
//!
//! `parse` knows which field has which type and which operators a type has, so a tree that came out of it can
//! be evaluated. Mistakes are reported with the column, in characters from 1, at which they begin.

mod field;
mod lex;
mod parse;
mod sql;

pub use self::field::ORDER_FIELDS;
pub use self::parse::parse;
pub use self::sql::{Sql, compile, key_of};
