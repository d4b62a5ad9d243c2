//! Text to tokens, each with the column at which it begins.

use super::parse::ParseError;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A field, an operator in letters, or a keyword.
    Word(String),
    /// What was in quotes, escapes resolved.
    Text(String),
    /// Digits, perhaps with a sign, a point, an exponent; as written.
    Number(String),
    /// `( ) [ ] , = < > <= >=`.
    Sign(&'static str),
    /// Nothing comes any more.
    End,
}

impl Token {
    /// As a message shows it.
    pub fn show(&self) -> String {
        match self {
            Token::Word(text) | Token::Number(text) => format!("`{}`", shorten(text)),
            Token::Text(text) => format!("the string {:?}", shorten(text)),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end".to_owned(),
        }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The tokens of a query; the last is [`Token::End`].
pub fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&char) = chars.get(at) {
        let start = at;
        let token = match char {
            _ if char.is_whitespace() => {
                at += 1;
                continue;
            }
            '"' | '\'' => quoted(&chars, &mut at)?,
            '0'..='9' | '-' | '+' | '.' => number(&chars, &mut at)?,
            _ if is_word(char) => {
                let end = end_of(&chars, at, |char| is_word(char) || matches!(char, '.' | '-'));
                at = end;
                Token::Word(chars[start..end].iter().collect())
            }
            _ => Token::Sign(sign(&chars, &mut at)?),
        };
        tokens.push((start + 1, token));
    }
    tokens.push((chars.len() + 1, Token::End));
    Ok(tokens)
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn end_of(chars: &[char], start: usize, belongs: impl Fn(char) -> bool) -> usize {
    chars[start..].iter().position(|char| !belongs(*char)).map_or(chars.len(), |len| start + len)
}

fn sign(chars: &[char], at: &mut usize) -> Result<&'static str, ParseError> {
    let is_pair = chars.get(*at + 1) == Some(&'=');
    let (sign, len) = match (chars[*at], is_pair) {
        ('<', true) => ("<=", 2),
        ('>', true) => (">=", 2),
        ('<', _) => ("<", 1),
        ('>', _) => (">", 1),
        ('=', false) => ("=", 1),
        ('(', _) => ("(", 1),
        (')', _) => (")", 1),
        ('[', _) => ("[", 1),
        (']', _) => ("]", 1),
        (',', _) => (",", 1),
        ('=', true) => return Err(ParseError::new(*at + 1, "`==` is no operator; equality is `=`")),
        ('!', true) => {
            return Err(ParseError::new(*at + 1, "`!=` is no operator; write `not field = value`"));
        }
        (other, _) => return Err(ParseError::new(*at + 1, format!("{other:?} does not belong here"))),
    };
    *at += len;
    Ok(sign)
}

/// A string. A backslash makes a quote or a backslash part of it; before anything else it is itself.
fn quoted(chars: &[char], at: &mut usize) -> Result<Token, ParseError> {
    let start = *at;
    let quote = chars[start];
    let mut text = String::new();
    *at += 1;
    loop {
        match (chars.get(*at), chars.get(*at + 1)) {
            (Some('\\'), Some(&next)) if next == '\\' || next == '"' || next == '\'' => {
                text.push(next);
                *at += 2;
            }
            (Some(&char), _) if char == quote => {
                *at += 1;
                return Ok(Token::Text(text));
            }
            (Some(&char), _) => {
                text.push(char);
                *at += 1;
            }
            (None, _) => return Err(ParseError::new(start + 1, "this string has no closing quote")),
        }
    }
}

fn number(chars: &[char], at: &mut usize) -> Result<Token, ParseError> {
    let start = *at;
    // A sign belongs to a number at its start and after its `e`.
    let belongs = |at: usize| {
        let char = chars[at];
        is_word(char)
            || char == '.'
            || (matches!(char, '+' | '-') && (at == start || matches!(chars[at - 1], 'e' | 'E')))
    };
    while *at < chars.len() && belongs(*at) {
        *at += 1;
    }
    let text: String = chars[start..*at].iter().collect();
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && text.contains(|char: char| char.is_ascii_digit()) => {
            Ok(Token::Number(text))
        }
        _ => Err(ParseError::new(start + 1, format!("`{}` is no number", shorten(&text)))),
    }
}
