//! Options of services and servers in commands: qualifiers, one for each that can be set.

use crate::protocol::options::{Described, Options, SETTABLE, Shape};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use std::{fmt::Debug, marker::PhantomData};

/// Whose options a command takes, and when.
pub trait Subject: Clone + Debug + PartialEq {
    /// It makes a new one, so that a flag need only be named; else it changes one, and wants at least one option of the
    /// group `what`.
    const IS_NEW: bool;

    /// The options.
    fn options() -> &'static [Described];
}

/// `add service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewService;
/// `set service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldService;
/// `add server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewServer;
/// `set server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldServer;

macro_rules! subjects {
    ($($subject:ident: $options:ident, $is_new:literal;)+) => { $(
        impl Subject for $subject {
            const IS_NEW: bool = $is_new;

            fn options() -> &'static [Described] {
                &SETTABLE.$options
            }
        }
    )+ };
}

subjects! {
    NewService: service, true;
    OldService: service, false;
    NewServer: server, true;
    OldServer: server, false;
}

/// The options that a command gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Given<S>(pub Options, PhantomData<S>);

impl<S: Subject> Args for Given<S> {
    fn augment_args(command: Command) -> Command {
        command.args(S::options().iter().map(argument::<S>))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Subject> FromArgMatches for Given<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = S::options().iter().filter_map(|option| {
            let key = option.key.as_str();
            let value = match option.shape {
                Shape::Flag => {
                    matches.get_one::<bool>(key).filter(|flag| **flag || !S::IS_NEW)?.to_owned().into()
                }
                Shape::Number => matches.get_one::<u64>(key)?.to_owned().into(),
                Shape::Time | Shape::Text => matches.get_one::<String>(key)?.clone().into(),
            };
            Some((option.key.clone(), value))
        });
        Ok(Given(values.collect(), PhantomData))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument<S: Subject>(option: &'static Described) -> Arg {
    let arg = Arg::new(option.key.as_str()).long(option.word.as_str()).help(option.help.as_str());
    let arg = match option.shape {
        Shape::Flag if S::IS_NEW => arg.action(ArgAction::SetTrue),
        Shape::Flag => arg.value_name(option.placeholder.as_str()).value_parser(value_parser!(bool)),
        Shape::Number => arg.value_name(option.placeholder.as_str()).value_parser(value_parser!(u64)),
        Shape::Time | Shape::Text => arg.value_name(option.placeholder.as_str()),
    };
    if S::IS_NEW { arg } else { arg.group("what") }
}
