//! A typed tree to a condition over `ENTRY_TABLES`.

use rusqlite::types::Value as SqlValue;

use super::field::Field;
use super::parse::{Expr, Literal, Op, Test};

/// A condition with its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sql {
    /// Text with a `?` for each value.
    pub text: String,
    /// The values, in order.
    pub values: Vec<SqlValue>,
}

/// The SQL of a field that can be ordered by.
pub fn key_of(name: &str) -> Option<&'static str> {
    match Field::named(name)? {
        Field::Plain(_, sql) => Some(sql),
        _ => None,
    }
}

/// The condition of a query; `recursive` makes `parent_file_id` mean everything below that folder.
/// The folder is looked for in these drives.
pub fn compile(expr: &Expr, recursive: bool, drives: &[i64]) -> Sql {
    let drives: Vec<String> = drives.iter().map(i64::to_string).collect();
    let mut compiler = Compiler { sql: Sql::default(), recursive, drives: drives.join(", ") };
    compiler.add(expr);
    compiler.sql
}

struct Compiler {
    sql: Sql,
    recursive: bool,
    drives: String,
}

impl Compiler {
    fn add(&mut self, expr: &Expr) {
        match expr {
            Expr::All(parts) => self.join(parts, " AND "),
            Expr::Any(parts) => self.join(parts, " OR "),
            Expr::Not(inner) => {
                self.sql.text.push_str("NOT (");
                self.add(inner);
                self.sql.text.push(')');
            }
            Expr::Test(test) => self.test(test),
        }
    }

    /// Halves in parentheses: a chain of hundreds would be as deep for SQLite as it is long.
    fn join(&mut self, parts: &[Expr], word: &str) {
        match parts {
            [] => self.sql.text.push('1'),
            [one] => self.add(one),
            _ => {
                let (left, right) = parts.split_at(parts.len() / 2);
                self.sql.text.push('(');
                self.join(left, word);
                self.sql.text.push_str(word);
                self.join(right, word);
                self.sql.text.push(')');
            }
        }
    }

    fn test(&mut self, test: &Test) {
        match &test.field {
            Field::Plain(_, column) => self.compare(column, test),
            Field::Parent => {
                let folder = format!("SELECT x.seq FROM entry x WHERE x.drive IN ({}) AND ", self.drives);
                self.sql.text.push_str("e.parent IN (");
                if self.recursive {
                    self.sql.text.push_str("WITH RECURSIVE top (seq) AS (");
                }
                self.sql.text.push_str(&folder);
                self.compare("x.file_id", test);
                self.sql.text.push_str(if self.recursive {
                    " UNION SELECT y.seq FROM entry y JOIN top ON y.parent = top.seq WHERE y.folder)
                     SELECT seq FROM top)"
                } else {
                    ")"
                });
            }
            Field::Labels => {
                self.sql.text.push_str("EXISTS (SELECT 1 FROM json_each(e.meta_json, '$.labels') t WHERE ");
                self.compare("t.value", test);
                self.sql.text.push(')');
            }
            Field::Tags => {
                self.sql.text.push_str("EXISTS (SELECT 1 FROM json_each(e.tags_json) t WHERE ");
                self.compare("t.key", test);
                self.sql.text.push_str(" OR ");
                self.compare("t.key || '#' || t.value", test);
                self.sql.text.push(')');
            }
            Field::Tag(key) => {
                self.sql
                    .text
                    .push_str("EXISTS (SELECT 1 FROM json_each(e.tags_json) t WHERE t.key = ? AND (");
                self.sql.values.push(SqlValue::Text(key.clone()));
                self.compare("t.value", test);
                self.sql.text.push_str("))");
            }
        }
    }

    fn compare(&mut self, column: &str, test: &Test) {
        // Printed in upper case; asked for in any.
        let is_hash = column.contains("b.sha1");
        let value = |literal: &Literal| match literal {
            Literal::Text(text) if is_hash => SqlValue::Text(text.to_uppercase()),
            Literal::Text(text) => SqlValue::Text(text.clone()),
            Literal::Whole(number) => SqlValue::Integer(*number),
            Literal::Real(number) => SqlValue::Real(*number),
            Literal::Flag(flag) => SqlValue::Integer((*flag).into()),
        };
        let text = |literal: &Literal| match literal {
            Literal::Text(text) => text.clone(),
            _ => String::new(),
        };
        let sign = match test.op {
            Op::Equal => "=",
            Op::Less => "<",
            Op::AtMost => "<=",
            Op::Greater => ">",
            Op::AtLeast => ">=",
            Op::In => "IN",
            Op::Prefix => {
                for literal in &test.values {
                    let start = value(literal);
                    self.sql.text.push_str(&format!("substr({column}, 1, length(?)) = ?"));
                    self.sql.values.extend([start.clone(), start]);
                }
                return;
            }
            Op::Match => {
                for literal in &test.values {
                    self.contains(column, &text(literal));
                }
                return;
            }
        };
        if test.op == Op::In {
            let places = vec!["?"; test.values.len()].join(", ");
            self.sql.text.push_str(&format!("({column}) IN ({places})"));
        } else {
            self.sql.text.push_str(&format!("({column}) {sign} ?"));
        }
        self.sql.values.extend(test.values.iter().map(value));
    }

    /// `match`: every word occurs, in any order and case.
    fn contains(&mut self, column: &str, text: &str) {
        let mut words: Vec<&str> =
            text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        if words.is_empty() && !text.is_empty() {
            // Nothing but signs: they are looked for as they are.
            words.push(text);
        }
        let tests: Vec<String> = words.iter().map(|_| format!("{column} LIKE ? ESCAPE '\\'")).collect();
        self.sql
            .text
            .push_str(&format!("({})", if tests.is_empty() { "1".into() } else { tests.join(" AND ") }));
        for word in words {
            let word = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            self.sql.values.push(SqlValue::Text(format!("%{word}%")));
        }
    }
}
