//! Numbers of things, each kind with a type of its own, so that one is not taken for another.
//!
//! A server or a service has the number of its place in the snapshot's list, from 0. Connections and neighbours are
//! numbered by the worker whose they are, from 1: so 0 is "none", and a table with a vacant place 0 is looked at without
//! asking first whether there is anything to look for.

use crate::cast::low16;
use std::{
    fmt,
    marker::PhantomData,
    num::NonZeroU16,
    ops::{Index, IndexMut},
};

/// The number of a place in a [`ById`].
pub trait Id: Copy {
    /// The `number`th, from 0.
    fn new(number: u32) -> Self;
    /// The place, from 0.
    fn index(self) -> usize;
}

macro_rules! id {
    ($(#[doc = $doc:literal])+ $type:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $type(u32);

        impl $type {
            /// That number.
            #[inline(always)]
            #[must_use]
            pub const fn new(number: u32) -> Self {
                $type(number)
            }

            /// The number.
            #[inline(always)]
            #[must_use]
            pub const fn number(self) -> u32 {
                self.0
            }

            /// The number as a place in a list.
            #[inline(always)]
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl Id for $type {
            #[inline(always)]
            fn new(number: u32) -> Self {
                $type(number)
            }

            #[inline(always)]
            fn index(self) -> usize {
                self.index()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A virtual service, from one snapshot to the next.
    ServiceId
}

id! {
    /// A connection of one worker: its place in the connection table, which begins with a vacant one.
    ConnectionId
}

id! {
    /// What one worker's modules keep of a connection.
    TalkId
}

id! {
    /// A local address of FullNAT, from one snapshot to the next.
    LocalId
}

id! {
    /// A real server of any service, from one snapshot to the next: its place among all servers, and on the load board.
    ServerId
}

/// An interface: its place in the configuration's list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct InterfaceId(pub u16);

impl InterfaceId {
    /// The number as a place in a list.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Id for InterfaceId {
    #[inline(always)]
    fn new(number: u32) -> Self {
        InterfaceId(low16(number))
    }

    #[inline(always)]
    fn index(self) -> usize {
        self.index()
    }
}

/// A neighbour of one worker: its place in the neighbour table, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct NeighbourId(NonZeroU16);

impl NeighbourId {
    /// The neighbour at a place; at place 0 there is none.
    #[inline(always)]
    #[must_use]
    pub const fn at(place: u16) -> Option<Self> {
        match NonZeroU16::new(place) {
            Some(place) => Some(NeighbourId(place)),
            None => None,
        }
    }

    /// The place in a list whose place 0 is vacant.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize
    }

    /// The same of a neighbour that there may not be: the vacant place then. Costs nothing.
    #[inline(always)]
    #[must_use]
    pub fn index_of(neighbour: Option<Self>) -> usize {
        neighbour.map_or(0, Self::index)
    }
}

impl fmt::Display for NeighbourId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const _: () = assert!(size_of::<Option<NeighbourId>>() == 2);

/// A list whose places have numbers of type `I`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ById<I, T> {
    list: Vec<T>,
    id: PhantomData<fn(I) -> I>,
}

impl<I: Id, T> ById<I, T> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The one of that number, if there is one.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, id: I) -> Option<&T> {
        self.list.get(id.index())
    }

    /// All, without their numbers.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.list.iter()
    }

    /// All, to be changed.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.list.iter_mut()
    }

    /// All with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (I, &T)> {
        self.ids().zip(&self.list)
    }

    /// All numbers.
    pub fn ids(&self) -> impl Iterator<Item = I> + use<I, T> {
        (0..).map(I::new).take(self.list.len())
    }

    /// Puts `value` at its number, which is in the list or the next one.
    pub fn put(&mut self, id: I, value: T) {
        match self.list.get_mut(id.index()) {
            Some(place) => *place = value,
            None => self.list.push(value),
        }
    }
}

impl<I, T> Default for ById<I, T> {
    fn default() -> Self {
        ById { list: Vec::new(), id: PhantomData }
    }
}

impl<I, T> FromIterator<T> for ById<I, T> {
    fn from_iter<A: IntoIterator<Item = T>>(values: A) -> Self {
        ById { list: values.into_iter().collect(), id: PhantomData }
    }
}

impl<I: Id, T> Index<I> for ById<I, T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, id: I) -> &T {
        &self.list[id.index()]
    }
}

impl<I: Id, T> IndexMut<I> for ById<I, T> {
    #[inline(always)]
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.list[id.index()]
    }
}

impl<'a, I: Id, T> IntoIterator for &'a ById<I, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, I: Id, T> IntoIterator for &'a mut ById<I, T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
