//! Enumerations whose values have the names that configurations use and operators read.

/// Declares such an enumeration, with all its values, their names and the way back from a name. Values after `besides` have
/// names, too, but nobody can ask for them.
macro_rules! named {
    ($(#[doc = $doc:literal])+ $type:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $name:literal,)+ }
     $(besides { $($(#[doc = $bdoc:literal])+ $beside:ident = $bname:literal,)+ })?) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[doc = $vdoc])+ $variant,)+ $($($(#[doc = $bdoc])+ $beside,)+)? }

        impl $type {
            /// Every value that one can ask for, in declaration order.
            pub const ALL: &[$type] = &[$($type::$variant),+];

            /// Their words, in the same order.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The word used in configurations and shown to operators.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ $($($type::$beside => $bname,)+)? }
            }
        }

        impl std::str::FromStr for $type {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|value| value.name() == text).ok_or(())
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

pub(crate) use named;
