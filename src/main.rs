//! The `pdsfs` command.

fn main() {}
