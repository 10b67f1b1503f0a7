//! `top`: a live view.

use crate::{session::Failure, transport::Transport};
use std::{
    io::Write,
    sync::{Arc, atomic::AtomicBool},
};

/// How the live view begins.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub struct TopArgs {
    /// Print one frame as text and end
    #[arg(long)]
    pub once: bool,
}

/// Shows it.
///
/// # Errors
/// See [`Failure`].
pub fn run<T: Transport + ?Sized>(
    _transport: &mut T,
    _args: &TopArgs,
    _interrupt: &Arc<AtomicBool>,
    _out: &mut dyn Write,
) -> Result<(), Failure> {
    Ok(())
}
