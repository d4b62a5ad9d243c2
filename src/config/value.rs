//! Sizes, durations and octal numbers as people write them.
//!
//! Pure functions from text to a number; an error is one sentence that says what would have been right.
//! Sizes count in 1024 (`k`, `M`, `KiB`, `MiB` ...; the decimal `MB` is refused because it means two
//! things). Durations add up (`1h30m`); a bare number is seconds.

use std::time::Duration;

use super::MinFree;

/// The longest duration an option takes: ten years, so that deadlines never overflow.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Bytes of `16MiB`, `1.5G`, `65536`.
///
/// # Errors
/// A sentence, when it is not a size or more than 2^63 bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text).ok_or_else(|| {
        format!("{text:?} is not a size; write a number with k, M, G, T or KiB, MiB, GiB, TiB: 512MiB")
    })?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => {
            return Err(format!(
                "unknown unit {unit:?}; use k, M, G, T or KiB, MiB, GiB, TiB (all in steps of 1024)"
            ));
        }
    };
    let scaled = scale(number, 1 << shift).filter(|bytes| *bytes <= i64::MAX as u64);
    scaled.ok_or_else(|| format!("{text:?} is more than this machine can count"))
}

/// The time of `30s`, `1h30m`, `250ms`, `90`.
///
/// # Errors
/// A sentence, when it is not a duration or longer than ten years.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write 30s, 10m, 1h30m, 250ms, or seconds: 90");
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let micros: u64 = match unit {
            "" if number.len() == text.len() => 1_000_000,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return Err(wrong()),
        };
        let part = plain_number(number).and_then(|number| scale(number, micros)).ok_or_else(wrong)?;
        total = total.saturating_add(Duration::from_micros(part));
        rest = tail;
    }
    if total > MAX_DURATION {
        return Err(format!("{text:?} is longer than ten years"));
    }
    Ok(total)
}

/// A floor of free space: `5%` or a size.
///
/// # Errors
/// A sentence, when it is neither.
pub fn min_free(text: &str) -> Result<MinFree, String> {
    let Some(percent) = text.strip_suffix('%') else { return Ok(MinFree::Bytes(size(text)?)) };
    match percent.parse::<u8>() {
        Ok(percent) if percent < 100 => Ok(MinFree::Percent(percent)),
        Ok(_) | Err(_) => {
            Err(format!("{text:?} is not a share of the disk; write 0% to 99%, or a size: 2GiB"))
        }
    }
}

/// An octal mask of permission bits, `022` or `0o22`.
///
/// # Errors
/// A sentence, when it is not octal or beyond 0777.
pub fn umask(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if mask <= 0o777 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(mask),
        Ok(_) | Err(_) => Err(format!("{text:?} is not an octal mask; write 000 to 777, for example 022")),
    }
}

/// A pattern of attribute names, in which `*` stands for anything.
///
/// # Errors
/// In words, for one that could mean the drive's own.
pub fn drop_pattern(text: &str) -> Result<String, String> {
    let is_others = text.len() > "user.".len() && text.starts_with("user.") && !text.starts_with("user.pds");
    if !is_others || text == "user.*" {
        return Err("a pattern such as user.com.apple.*, of attributes that other programs set".to_owned());
    }
    Ok(text.to_owned())
}

/// `bytes` in words: `1.5 GiB`, `12 B`.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A number with at most nine decimals, as whole and billionths.
#[derive(Clone, Copy)]
struct Decimal {
    whole: u64,
    billionths: u64,
}

fn split_number(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((plain_number(number)?, unit.trim_start_matches(' ')))
}

fn plain_number(text: &str) -> Option<Decimal> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || decimals.len() > 9 || (text.contains('.') && decimals.is_empty()) {
        return None;
    }
    let digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return None;
    }
    let billionths = format!("{decimals:0<9}").parse().ok()?;
    Some(Decimal { whole: whole.parse().ok()?, billionths })
}

fn scale(number: Decimal, factor: u64) -> Option<u64> {
    let fraction = u128::from(number.billionths) * u128::from(factor) / 1_000_000_000;
    number.whole.checked_mul(factor)?.checked_add(u64::try_from(fraction).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("1k", 1 << 10),
            ("1KiB", 1 << 10),
            ("16MiB", 16 << 20),
            ("16M", 16 << 20),
            ("1.5G", 3 << 29),
            ("10 GiB", 10 << 30),
            ("2TiB", 2 << 40),
            ("8388607TiB", 8_388_607 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_gets_a_sentence() {
        for text in
            ["", "MiB", "-1", "1..5G", "1.", ".5", "0x10", "1e3", "8388608TiB", "99999999999999999999"]
        {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(size("5MB").unwrap_err().contains("MiB"));
        assert!(size("1 5").is_err());
    }

    #[test]
    fn durations_add_up_and_bare_numbers_are_seconds() {
        for (text, millis) in [
            ("90", 90_000),
            ("0", 0),
            ("0.5", 500),
            ("30s", 30_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_gets_a_sentence() {
        for text in ["", "s", "10x", "-1s", "1h30", "5 minutes", "1m1", "99999999999999d", "4000d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("4000d").unwrap_err().contains("ten years"));
    }

    #[test]
    fn free_space_is_a_share_or_a_size() {
        assert_eq!(min_free("5%"), Ok(MinFree::Percent(5)));
        assert_eq!(min_free("2GiB"), Ok(MinFree::Bytes(2 << 30)));
        assert!(min_free("100%").is_err());
        assert!(min_free("x%").is_err());
    }

    #[test]
    fn masks_are_octal() {
        assert_eq!(umask("022"), Ok(0o22));
        assert_eq!(umask("0o77"), Ok(0o77));
        assert!(umask("8").is_err());
        assert!(umask("1000").is_err());
        assert!(umask("+22").is_err());
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit() {
        assert_eq!(show_bytes(12), "12 B");
        assert_eq!(show_bytes(3 << 29), "1.5 GiB");
    }
}
