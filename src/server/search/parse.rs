//! Tokens to a typed tree, by recursive descent.

use super::field::{Field, Type};
use super::lex::{Token, tokens};

/// Parentheses and `not`s within each other: bounds the stack here and the depth of the SQL.
const MAX_DEPTH: usize = 100;
/// Values of one `in`.
const MAX_VALUES: usize = 1000;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Each of them holds.
    All(Vec<Expr>),
    /// One of them holds.
    Any(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// A test of one field.
    Test(Test),
}

/// A field against values of its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// What is looked at.
    pub field: Field,
    /// How.
    pub op: Op,
    /// Against what: one value, with `in` one or more.
    pub values: Vec<Literal>,
}

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`.
    Equal,
    /// `<`.
    Less,
    /// `<=`.
    AtMost,
    /// `>`.
    Greater,
    /// `>=`.
    AtLeast,
    /// `prefix`.
    Prefix,
    /// `match`.
    Match,
    /// `in`.
    In,
}

/// A value of a field's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// In quotes.
    Text(String),
    /// A long, or a date in milliseconds since 1970.
    Whole(i64),
    /// A double.
    Real(f64),
    /// `true` or `false`.
    Flag(bool),
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// In characters, from 1.
    pub column: usize,
    /// A sentence without its end.
    pub message: String,
}

impl ParseError {
    /// An error at a column.
    pub fn new(column: usize, message: impl Into<String>) -> Self {
        ParseError { column, message: message.into() }
    }
}

/// Parses a query.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let expr = parser.any()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.expected("`and`, `or` or the end")),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(column, _)| *column)
    }

    fn expected(&self, what: &str) -> ParseError {
        ParseError::new(self.column(), format!("expected {what}, found {}", self.peek().show()))
    }

    /// Takes a keyword in any case.
    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(text) if text.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(text) if *text == sign);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Expr, ParseError> {
        let mut parts = vec![self.all()?];
        while self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Expr::Any(parts) })
    }

    fn all(&mut self) -> Result<Expr, ParseError> {
        let mut parts = vec![self.not()?];
        while self.take_word("and") {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Expr::All(parts) })
    }

    fn not(&mut self) -> Result<Expr, ParseError> {
        let column = self.column();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::new(column, format!("nested more than {MAX_DEPTH} deep")));
        }
        let expr = if self.take_word("not") {
            Expr::Not(Box::new(self.not()?))
        } else if self.take_sign("(") {
            let expr = self.any()?;
            if !self.take_sign(")") {
                return Err(self.expected(&format!("`)` for the `(` in column {column}, `and` or `or`")));
            }
            expr
        } else {
            Expr::Test(self.test()?)
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn test(&mut self) -> Result<Test, ParseError> {
        let Token::Word(name) = self.peek() else {
            return Err(self.expected("a field, `not` or `(`"));
        };
        let is_keyword = ["and", "or", "in"].iter().any(|word| name.eq_ignore_ascii_case(word));
        if is_keyword {
            return Err(self.expected("a field, `not` or `(`"));
        }
        let field = Field::named(name);
        let field = field.ok_or_else(|| {
            ParseError::new(self.column(), format!("there is no field {}", self.peek().show()))
        })?;
        self.at += 1;
        let op = self.op(&field)?;
        let values = if op == Op::In { self.values(&field)? } else { vec![self.value(&field)?] };
        Ok(Test { field, op, values })
    }

    fn op(&mut self, field: &Field) -> Result<Op, ParseError> {
        let op = match self.peek() {
            Token::Sign("=") => Op::Equal,
            Token::Sign("<") => Op::Less,
            Token::Sign("<=") => Op::AtMost,
            Token::Sign(">") => Op::Greater,
            Token::Sign(">=") => Op::AtLeast,
            Token::Word(word) if word.eq_ignore_ascii_case("prefix") => Op::Prefix,
            Token::Word(word) if word.eq_ignore_ascii_case("match") => Op::Match,
            Token::Word(word) if word.eq_ignore_ascii_case("in") => Op::In,
            _ => return Err(self.expected("an operator")),
        };
        let (fits, known) = match field.kind() {
            Type::Text | Type::Texts => {
                (matches!(op, Op::Equal | Op::Prefix | Op::Match | Op::In), "=, prefix, match and in")
            }
            Type::Bool => (op == Op::Equal, "= alone"),
            Type::Long | Type::Double | Type::Date => {
                (!matches!(op, Op::Prefix | Op::Match), "=, <, >, <=, >= and in")
            }
        };
        if !fits {
            return Err(ParseError::new(
                self.column(),
                format!("{} does not fit this field, which has {known}", self.peek().show()),
            ));
        }
        self.at += 1;
        Ok(op)
    }

    fn values(&mut self, field: &Field) -> Result<Vec<Literal>, ParseError> {
        if !self.take_sign("[") {
            return Err(self.expected("`[`"));
        }
        let mut values = vec![self.value(field)?];
        while self.take_sign(",") {
            if values.len() == MAX_VALUES {
                return Err(ParseError::new(self.column(), format!("more than {MAX_VALUES} values")));
            }
            values.push(self.value(field)?);
        }
        if !self.take_sign("]") {
            return Err(self.expected("`,` or `]`"));
        }
        Ok(values)
    }

    fn value(&mut self, field: &Field) -> Result<Literal, ParseError> {
        let kind = field.kind();
        let literal = match (kind, self.peek()) {
            (Type::Text | Type::Texts, Token::Text(text)) => Some(Literal::Text(text.clone())),
            (Type::Long, Token::Number(text)) => text.parse().ok().map(Literal::Whole),
            (Type::Double, Token::Number(text)) => text.parse().ok().map(Literal::Real),
            (Type::Bool, Token::Word(word)) if word.eq_ignore_ascii_case("true") => Some(Literal::Flag(true)),
            (Type::Bool, Token::Word(word)) if word.eq_ignore_ascii_case("false") => {
                Some(Literal::Flag(false))
            }
            (Type::Date, Token::Text(text)) => date_ms(text).map(Literal::Whole),
            _ => None,
        };
        let literal = literal.ok_or_else(|| self.expected(kind.name()))?;
        self.at += 1;
        Ok(literal)
    }
}

/// `yyyy-MM-ddTHH:mm:ss` in UTC, with or without a fraction and a `Z`, in milliseconds since 1970.
fn date_ms(text: &str) -> Option<i64> {
    let civil = text.strip_suffix('Z').unwrap_or(text);
    if civil.len() < "yyyy-MM-ddTHH:mm:ss".len() || civil.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let time: jiff::civil::DateTime = civil.parse().ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(time.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(field: &str, op: Op, value: &str) -> Expr {
        let values = vec![Literal::Text(value.into())];
        Expr::Test(Test { field: Field::named(field).unwrap(), op, values })
    }

    fn whole(field: &str, op: Op, value: i64) -> Expr {
        Expr::Test(Test { field: Field::named(field).unwrap(), op, values: vec![Literal::Whole(value)] })
    }

    fn not(expr: Expr) -> Expr {
        Expr::Not(Box::new(expr))
    }

    #[test]
    fn the_examples_of_the_documentation() {
        assert_eq!(parse(r#"name = "x.ppt""#), Ok(text("name", Op::Equal, "x.ppt")));
        assert_eq!(parse("name='x'"), Ok(text("name", Op::Equal, "x")));
        let time = whole("created_at", Op::Less, 1_547_424_000_000);
        assert_eq!(parse(r#"created_at < "2019-01-14T00:00:00""#), Ok(time));
        let flag = Test {
            field: Field::named("hidden").unwrap(),
            op: Op::Equal,
            values: vec![Literal::Flag(false)],
        };
        assert_eq!(
            parse("size > 1024 and hidden = false and not file_extension = 'mp4'"),
            Ok(Expr::All(vec![
                whole("size", Op::Greater, 1024),
                Expr::Test(flag),
                not(text("file_extension", Op::Equal, "mp4")),
            ]))
        );
        let Ok(Expr::Test(test)) = parse(r#"file_extension in ["jpg","png"]"#) else { panic!("no test") };
        assert_eq!(test.values, ["jpg", "png"].map(|text| Literal::Text(text.into())));
        assert_eq!(
            parse(r#"(name="k" or name match "k") and parent_file_id="root""#),
            Ok(Expr::All(vec![
                Expr::Any(vec![text("name", Op::Equal, "k"), text("name", Op::Match, "k")]),
                text("parent_file_id", Op::Equal, "root"),
            ]))
        );
    }

    #[test]
    fn not_binds_closer_than_and_and_and_closer_than_or() {
        let test = |name: &str| text("name", Op::Equal, name);
        let query = "not name='a' and name='b' or name='c' and not (name='d' or name='e')";
        let expected = Expr::Any(vec![
            Expr::All(vec![not(test("a")), test("b")]),
            Expr::All(vec![test("c"), not(Expr::Any(vec![test("d"), test("e")]))]),
        ]);
        assert_eq!(parse(query), Ok(expected));
        assert_eq!(parse("NOT NOT(name = 'a')"), Ok(not(not(test("a")))));
    }

    #[test]
    fn strings_have_escapes_and_any_character() {
        assert_eq!(parse(r#"name = "a\"b\\c\d'海""#), Ok(text("name", Op::Equal, r#"a"b\c\d'海"#)));
        assert_eq!(parse(r"name = 'it\'s'"), Ok(text("name", Op::Equal, "it's")));
        assert_eq!(parse("name = ''"), Ok(text("name", Op::Equal, "")));
        let tag = "user_tags.a-b.c = 'v'";
        assert_eq!(parse(tag), Ok(text("user_tags.a-b.c", Op::Equal, "v")));
    }

    #[test]
    fn numbers_and_dates() {
        assert_eq!(parse("size>=-7"), Ok(whole("size", Op::AtLeast, -7)));
        let score = Test {
            field: Field::named("image_overall_score").unwrap(),
            op: Op::AtMost,
            values: vec![Literal::Real(0.5)],
        };
        assert_eq!(parse("image_overall_score <= 5e-1"), Ok(Expr::Test(score)));
        for date in ["2019-08-20T06:51:27", "2019-08-20T06:51:27Z", "2019-08-20T06:51:27.000Z"] {
            let expected = whole("updated_at", Op::Equal, 1_566_283_887_000);
            assert_eq!(parse(&format!("updated_at = '{date}'")), Ok(expected), "{date}");
        }
    }

    #[test]
    fn errors_point_at_the_column() {
        for (query, column, said) in [
            ("", 1, "expected a field"),
            ("   ", 4, "expected a field"),
            ("nmae = 'x'", 1, "there is no field `nmae`"),
            ("name", 5, "expected an operator, found the end"),
            ("name ~ 'x'", 6, "'~' does not belong here"),
            ("name = ", 8, "expected a string in quotes, found the end"),
            ("name = x", 8, "expected a string in quotes, found `x`"),
            ("name = 7", 8, "expected a string in quotes, found `7`"),
            ("name < 'x'", 6, "`<` does not fit this field"),
            ("name != 'x'", 6, "`!=` is no operator"),
            ("size == 1", 6, "`==` is no operator"),
            ("size = '1'", 8, "expected a whole number, found the string \"1\""),
            ("size = 1.5", 8, "expected a whole number"),
            ("size = 99999999999999999999", 8, "expected a whole number"),
            ("size = 1x", 8, "`1x` is no number"),
            ("size prefix 1", 6, "`prefix` does not fit"),
            ("hidden = 1", 10, "expected true or false"),
            ("hidden in [true]", 8, "`in` does not fit"),
            ("created_at < '2019-13-14T00:00:00'", 14, "expected a time"),
            ("created_at < '2019-01-14'", 14, "expected a time"),
            ("name = 'é' and\nname = 'x", 23, "no closing quote"),
            ("name = 'a' name = 'b'", 12, "expected `and`, `or` or the end"),
            ("name = 'a' and", 15, "expected a field"),
            ("or name = 'a'", 1, "expected a field"),
            ("not", 4, "expected a field"),
            ("(name = 'a'", 12, "`)` for the `(` in column 1"),
            ("name = 'a')", 11, "expected `and`, `or` or the end, found `)`"),
            ("name in 'a'", 9, "expected `[`"),
            ("name in []", 10, "expected a string"),
            ("name in ['a',]", 14, "expected a string"),
            ("name in ['a' 'b']", 14, "expected `,` or `]`"),
            ("user_tags. = 'a'", 1, "there is no field"),
        ] {
            let error = parse(query).unwrap_err();
            assert_eq!(error.column, column, "{query}: {error:?}");
            assert!(error.message.contains(said), "{query}: {error:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("(", ")"), ("not ", "")] {
            let nested = |depth: usize| format!("{}size = 1{}", open.repeat(depth), close.repeat(depth));
            assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
            let error = parse(&nested(MAX_DEPTH)).unwrap_err();
            assert!(error.message.contains("deep"), "{error:?}");
            assert!(parse(&nested(100_000)).is_err());
        }
    }
}
