//! The two TCP state tables.
