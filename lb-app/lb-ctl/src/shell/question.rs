//! `?` on a terminal: what can follow is listed at once, and the line goes on.

use crate::command::asked;
use rustyline::{
    Cmd, ConditionalEventHandler, Editor, Event, EventContext, EventHandler, Helper, KeyEvent, RepeatCount,
    history::History,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Nobody asked.
const NOBODY: usize = usize::MAX;

/// Where in the line that was read last somebody asked.
#[derive(Clone, Debug)]
pub(super) struct Question(Arc<AtomicUsize>);

impl Question {
    /// Has the editor give its line back when `?` is typed where it asks something.
    pub(super) fn bind<H: Helper, I: History>(editor: &mut Editor<H, I>) -> Self {
        let question = Question(Arc::new(AtomicUsize::new(NOBODY)));
        editor.bind_sequence(KeyEvent::from('?'), EventHandler::Conditional(Box::new(question.clone())));
        question
    }

    /// Whether the line was given back for a question: with where it was asked, once.
    pub(super) fn take(&self) -> Option<usize> {
        Some(self.0.swap(NOBODY, Relaxed)).filter(|at| *at != NOBODY)
    }
}

impl ConditionalEventHandler for Question {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        let before = &context.line()[..context.pos()];
        asked(&format!("{before}?"))?;
        self.0.store(context.pos(), Relaxed);
        Some(Cmd::AcceptLine)
    }
}
