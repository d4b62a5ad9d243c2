//! The service's API client.
pub mod model;
