//! Where a page of an answer ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a page ends and the next begins. What is inside is the director's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The worker or service to go on with.
    pub of: u32,
    /// The entry of it to go on with.
    pub at: u32,
}
