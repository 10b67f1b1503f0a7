//! What the documentation tells operators to write, so that stories are told with exactly that.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The fenced block of a page in docs/ that has `mark` in it, with texts replaced. What is to be replaced must be there.
pub fn recipe(page: &str, mark: &str, replace: &[(&str, &str)]) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = fs::read_to_string(&path)?;
    let mut blocks = text.split("\n```").skip(1).step_by(2);
    let block =
        blocks.find(|block| block.contains(mark)).with_context(|| format!("{page} has no {mark:?}"))?;
    let (_, mut block) =
        block.split_once('\n').map(|(kind, block)| (kind, format!("{block}\n"))).unwrap_or_default();
    for (from, to) in replace {
        ensure!(block.contains(from), "{page}: no {from:?} in the recipe with {mark:?}");
        block = block.replace(from, to);
    }
    Ok(block)
}
