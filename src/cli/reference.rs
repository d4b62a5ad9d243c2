//! The command line as tables of the README, made from the grammar itself so that the two cannot differ.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use super::command;
use crate::config::Exit;

/// Every option of every command, as one Markdown table for each heading of its help.
pub fn options() -> String {
    let mut out = String::new();
    let mut command = command();
    command.build();
    tables(&command, "pdsfs", &mut out);
    out.truncate(out.trim_end().len() + 1);
    out
}

/// The tables of the commands below `command`, which is typed as `words`.
fn tables(command: &Command, words: &str, out: &mut String) {
    for sub in command.get_subcommands() {
        let words = format!("{words} {}", sub.get_name());
        let mut headings: Vec<Option<&str>> = Vec::new();
        for arg in sub.get_arguments().filter(|arg| is_option(arg)) {
            if !headings.contains(&arg.get_help_heading()) {
                headings.push(arg.get_help_heading());
            }
        }
        if !headings.is_empty() {
            let _ = writeln!(out, "#### `{words}`\n");
        }
        for heading in headings {
            let args = sub.get_arguments().filter(|arg| is_option(arg) && arg.get_help_heading() == heading);
            let _ = writeln!(out, "| {} | Default | Environment | Meaning |", heading.unwrap_or("Option"));
            out.push_str("|---|---|---|---|\n");
            args.for_each(|arg| out.push_str(&row(arg)));
            out.push('\n');
        }
        tables(sub, &words, out);
    }
}

/// How commands end, as a Markdown table.
pub fn exit_codes() -> String {
    let mut out = String::from("| Code | Meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::TABLE {
        let _ = writeln!(out, "| {} | {meaning} |", exit.code());
    }
    out
}

fn is_option(arg: &Arg) -> bool {
    !arg.is_positional()
        && !matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpLong | ArgAction::Version)
}

fn row(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let value = match arg.get_value_names() {
        Some([name, ..]) if arg.get_action().takes_values() => format!(" {name}"),
        _ => String::new(),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (meaning, told) = match help.split_once("[default: ") {
        Some((meaning, told)) => (meaning.trim(), told.trim_end_matches(']')),
        None => (help.trim(), ""),
    };
    let known: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    let default = if told.is_empty() { known.join(", ") } else { told.to_owned() };
    let env = arg.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
    let words: Vec<String> =
        arg.get_possible_values().iter().map(|word| format!("`{}`", word.get_name())).collect();
    let takes_words = arg.get_action().takes_values() && !words.is_empty();
    let words = if takes_words { format!(": {}", words.join(", ")) } else { String::new() };
    let long = arg.get_long().unwrap_or_default();
    format!("| {short}`--{long}{value}` | {default} | {env} | {meaning}{words} |\n").replace("  ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_flag_default_environment_and_meaning() {
        let table = options();
        let row = |flag: &str| table.lines().find(|line| line.contains(flag)).unwrap().to_owned();
        assert_eq!(
            row("`--cache-dir "),
            "| `--cache-dir DIR` | $XDG_CACHE_HOME/pdsfs | `PDSFS_CACHE_DIR` | \
             Where copies of the drive's content are kept, a folder per drive |"
        );
        assert!(row("`--trash ").ends_with("or nowhere: `recycle`, `permanent` |"), "{}", row("`--trash "));
        assert!(row("`--foreground`").starts_with("| `-f`, `--foreground` | off |"));
        assert!(!table.contains("--help"));
    }
}
