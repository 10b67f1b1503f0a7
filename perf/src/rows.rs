//! Results: one row a case, as JSON for programs and as a table for people.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// One case. What does not apply is left out.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Row {
    /// What was measured.
    pub case: String,
    /// `nat`, `tun` or `dr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// `in` or `out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// `tcp` or `udp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Connections in the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Flows in the generated traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows: Option<u64>,
    /// TSC cycles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles_per_packet: Option<f64>,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_per_packet: Option<f64>,
    /// Millions of packets a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mpps: Option<f64>,
    /// Instructions under callgrind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions_per_packet: Option<f64>,
    /// Connections a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_second: Option<f64>,
}

/// Writes rows as a JSON array.
///
/// # Errors
/// When the file cannot be written.
pub fn save(path: &Path, rows: &[Row]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, serde_json::to_string_pretty(rows)? + "\n")?)
}

/// Reads rows back.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn load(path: &Path) -> Result<Vec<Row>> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}
