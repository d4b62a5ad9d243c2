//! Numbers and times in the words of a person.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `3.4 MiB`; whole bytes below one KiB.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return exact_bytes(count);
    }
    let mut value = count as f64;
    let mut unit = "";
    for next in UNITS {
        // What would print as 1024.0 is one of the next unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `3,565,158 bytes`.
pub fn exact_bytes(count: u64) -> String {
    format!("{} {}", thousands(count), if count == 1 { "byte" } else { "bytes" })
}

/// `3,565,158`.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An RFC 3339 time on this clock: `Wed 19 Aug 2020, 17:11:11 +08:00`. `None` for what is no time.
pub fn time(text: &str, zone: &TimeZone) -> Option<String> {
    let at: Timestamp = text.parse().ok()?;
    Some(at.to_zoned(zone.clone()).strftime("%a %-d %b %Y, %H:%M:%S %:z").to_string())
}

/// `1:02:03`, rounded to seconds.
pub fn duration(seconds: f64) -> Option<String> {
    if !seconds.is_finite() || !(0.0..1e9).contains(&seconds) {
        return None;
    }
    let whole = seconds.round() as u64;
    Some(format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60))
}

/// `1.2 Mbit/s`.
pub fn bit_rate(bits_per_second: f64) -> String {
    match bits_per_second {
        it if it >= 1e6 => format!("{:.1} Mbit/s", it / 1e6),
        it if it >= 1e3 => format!("{:.0} kbit/s", it / 1e3),
        it => format!("{it:.0} bit/s"),
    }
}

/// Seconds of age: `12 seconds`, `3 minutes`, `2 hours`, `5 days`.
pub fn age(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// A number as EXIF writes it: `9/5`, `1.8`, `f/1.8`, `1/120 s`.
pub fn exif_number(text: &str) -> Option<f64> {
    let text = text.trim().trim_start_matches("f/");
    let text = text.split_whitespace().next()?;
    let value = match text.split_once('/') {
        Some((above, below)) => above.parse::<f64>().ok()? / below.parse::<f64>().ok()?,
        None => text.parse().ok()?,
    };
    value.is_finite().then_some(value)
}

/// At most two decimals, none that are zero.
pub fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text that cannot play tricks on a terminal: control characters and those that reorder text become
/// visible escapes.
pub fn visible(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Columns a terminal uses for the text, nearly: East Asian characters and emoji take two, joiners none.
pub fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

/// See [`columns`].
pub fn char_columns(c: char) -> usize {
    match c as u32 {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1,023 bytes"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (3_565_158, "3.4 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(exact_bytes(3_565_158), "3,565,158 bytes");
        assert_eq!(thousands(100), "100");
    }

    #[test]
    fn times_and_durations() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let text = time("2020-08-19T09:11:11.000Z", &zone);
        assert_eq!(text.as_deref(), Some("Wed 19 Aug 2020, 17:11:11 +08:00"));
        assert_eq!(time("2006-01-02T15:04:05.000Z07:00", &zone), None);
        for (seconds, text) in
            [(22.88, Some("0:00:23")), (3723.0, Some("1:02:03")), (-1.0, None), (f64::NAN, None)]
        {
            assert_eq!(duration(seconds).as_deref(), text);
        }
        assert_eq!(
            [age(1), age(180), age(8_000), age(400_000)],
            ["1 second", "3 minutes", "2 hours", "4 days"]
        );
        assert_eq!(
            [bit_rate(500.0), bit_rate(129_280.0), bit_rate(2.5e6)],
            ["500 bit/s", "129 kbit/s", "2.5 Mbit/s"]
        );
    }

    #[test]
    fn exif_numbers() {
        for (text, value) in [
            ("9/5", Some(1.8)),
            ("f/1.8", Some(1.8)),
            ("64", Some(64.0)),
            ("1/0", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(exif_number(text), value, "{text}");
        }
        assert_eq!([short(1.8), short(2.0), short(4.254)], ["1.8", "2", "4.25"]);
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(visible("a\x1b[31m\nb\u{202e}c\u{4e2d}"), "a\\u{1b}[31m\\nb\\u{202e}c\u{4e2d}");
        assert_eq!(columns("a\u{4e2d}\u{1f600}e\u{301}"), 6);
    }
}
