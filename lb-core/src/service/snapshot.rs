//! The configuration as workers see it.
