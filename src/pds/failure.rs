//! Status and body of a refusal to an Error.
