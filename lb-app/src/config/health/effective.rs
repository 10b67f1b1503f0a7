//! Checks as a configuration writes them, with every default.

use super::{Check, Pool};
use lb_core::service::option::{Value, to_table};

/// `check = ...` for one service or server.
pub(crate) fn inline_check(check: Option<&Check>) -> Value {
    match check {
        Some(check) => check.to_value(),
        None => Value::Table(vec![("type", Value::Text("none".to_owned()))]),
    }
}

/// `health = ...` of one service.
pub(crate) fn inline_pool(pool: &Pool) -> Value {
    to_table(Pool::OPTIONS, pool)
}
