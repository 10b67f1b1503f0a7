//! Where a page of an answer ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a page ends and the next begins. What is inside is the director's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The worker or service where the page starts.
    pub of: u32,
    /// The entry in it where the page starts.
    pub at: u32,
}
