//! Faults in words: `ROUTE ACTION [TIME] [FREQUENCY]`, as `--fault` and the control endpoint take them.

use std::time::Duration;

use super::{FaultAction, Ordered, Quirk, When};

/// What the actions are called and mean, for help texts.
pub const ACTIONS: &[(&str, &str)] = &[
    ("delay TIME", "the request is handled this much later"),
    ("429 [retry-after TIME]", "throttled, with or without the headers that say for how long"),
    ("500, 502, 503, 504", "as a gateway says it: a web page, the code in headers"),
    ("cut-before", "the connection closes before anything happens"),
    ("cut-during", "it closes in the middle of the request's body; nothing happens"),
    ("cut-after", "it closes after the request's body; nothing happens"),
    ("cut-reply", "it closes in the middle of the reply's body; the effect stays"),
    ("lost-reply", "it closes without a reply; the effect stays"),
    ("short-put", "a part is accepted, but only its first half is stored"),
    ("expired-url", "a signed URL counts as expired"),
    ("stale TIME", "a list or search does not show yet what was made within this time"),
    ("delayed TIME", "the feed does not tell yet what happened within this time"),
    ("lost-cursor", "the feed does not know the cursor any more"),
    ("wrong-crc", "the CRC-64 in the reply is wrong"),
    ("disk-full", "the server's disk is full"),
    ("quota", "the drive is full"),
    ("no-parallel", "create refuses a parallel upload"),
    ("size-required", "create refuses a file without its size"),
    ("not-json", "the reply is a web page"),
    ("huge-reply", "the reply is 128 MiB of nothing"),
    ("hold", "the request waits until it is released by the control endpoint, a minute at most"),
];

/// Understands a fault in words.
///
/// # Errors
/// A sentence for people, which names the word.
pub fn parse(text: &str) -> Result<Ordered, String> {
    let mut words = text.split_whitespace().peekable();
    let route = words.next().ok_or("a fault is ROUTE ACTION [FREQUENCY]")?;
    if !super::is_known(route) {
        return Err(format!(
            "there is no route {route:?}; it is *, put_part, get_object, or a verb as in create"
        ));
    }
    let word = words.next().ok_or_else(|| format!("what shall happen to {route:?}?"))?;
    let mut time = |after: &str| -> Result<Duration, String> {
        let text = words.next().ok_or_else(|| format!("{after:?} needs a time, as in 500ms or 2s"))?;
        parse_time(text).ok_or_else(|| format!("{text:?} is not a time, as in 500ms, 2s or 1m"))
    };
    let action = match word {
        "delay" => FaultAction::Delay(time(word)?),
        "stale" => FaultAction::Quirk(Quirk::Stale(time(word)?)),
        "delayed" => FaultAction::Quirk(Quirk::Delayed(time(word)?)),
        "429" => match words.next_if_eq(&"retry-after") {
            None => FaultAction::Throttled(None),
            Some(after) => {
                let text =
                    words.next().ok_or_else(|| format!("{after:?} needs a time, as in 500ms or 2s"))?;
                let time = parse_time(text).ok_or_else(|| format!("{text:?} is not a time"))?;
                FaultAction::Throttled(Some(time))
            }
        },
        "500" => FaultAction::Gateway(500),
        "502" => FaultAction::Gateway(502),
        "503" => FaultAction::Gateway(503),
        "504" => FaultAction::Gateway(504),
        "cut-before" => FaultAction::CutBefore,
        "cut-during" => FaultAction::CutRequest,
        "cut-after" => FaultAction::CutAfter,
        "cut-reply" => FaultAction::CutBody,
        "lost-reply" => FaultAction::LostReply,
        "short-put" => FaultAction::ShortPut,
        "expired-url" => FaultAction::ExpiredUrl,
        "lost-cursor" => {
            let message = "The resource cursor cannot be found. cursor is not exist";
            FaultAction::Status(404, "NotFound.Cursor", message)
        }
        "wrong-crc" => FaultAction::WrongCrc,
        "disk-full" => FaultAction::DiskFull,
        "quota" => FaultAction::QuotaExhausted,
        "no-parallel" => FaultAction::Quirk(Quirk::NoParallel),
        "size-required" => FaultAction::Quirk(Quirk::SizeRequired),
        "not-json" => FaultAction::NotJson,
        "huge-reply" => FaultAction::HugeReply,
        "hold" => FaultAction::Hold,
        _ => {
            let known: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            return Err(format!("{word:?} is no fault; they are {}", known.join(", ")));
        }
    };
    let when = match words.next() {
        None | Some("always") => When::Always,
        Some("once") => When::Times(1),
        Some(text) => match (text.strip_suffix('%'), words.next()) {
            (Some(percent), None) => {
                let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
                When::Percent(percent.ok_or_else(|| format!("{text:?} is not 1% to 100%"))?)
            }
            (None, Some("time" | "times")) => {
                let times = text.parse().ok().filter(|times| *times > 0);
                When::Times(times.ok_or_else(|| format!("{text:?} is not a number of times"))?)
            }
            _ => return Err(format!("{text:?} is no frequency; it is always, once, 3 times, or 10%")),
        },
    };
    match words.next() {
        Some(more) => Err(format!("{more:?} comes after the fault's end")),
        None => Ok(Ordered { route: route.to_owned(), action, when, words: text.trim().to_owned() }),
    }
}

fn parse_time(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..at].parse().ok().filter(|number| *number <= 86_400_000)?;
    match &text[at..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_of_the_help_is_understood() {
        for (name, _) in ACTIONS {
            for name in name.split(", ") {
                let words = name.replace("TIME", "500ms").replace(['[', ']'], "");
                for when in ["", "always", "once", "3 times", "10%"] {
                    let text = format!("list {words} {when}");
                    let ordered = parse(&text).unwrap_or_else(|why| panic!("{text}: {why}"));
                    assert_eq!((ordered.route.as_str(), ordered.words.as_str()), ("list", text.trim()));
                }
            }
        }
        let ordered = parse("  put_part  429 retry-after 2s  25% ").unwrap();
        assert_eq!(ordered.action, FaultAction::Throttled(Some(Duration::from_secs(2))));
        assert_eq!(ordered.when, When::Percent(25));
    }

    #[test]
    fn what_is_no_fault_is_explained() {
        for (text, expected) in [
            ("", "ROUTE ACTION"),
            ("nonsense 500", "no route \"nonsense\""),
            ("list", "what shall happen"),
            ("list explode", "\"explode\" is no fault"),
            ("list delay", "needs a time"),
            ("list delay 2", "is not a time"),
            ("list delay 99999999999s", "is not a time"),
            ("list 429 retry-after", "needs a time"),
            ("list 500 sometimes", "is no frequency"),
            ("list 500 0%", "is not 1% to 100%"),
            ("list 500 0 times", "is not a number"),
            ("list 500 3", "is no frequency"),
            ("list 500 once more", "comes after"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
