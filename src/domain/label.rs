//! Closed sets of values, each with a fixed text.

use enum_map::{Array as _, Enum};

/// A closed set of values, each with a fixed text: the value of a metric's label, a word in a table, or what a person
/// types.
///
/// Every enum that derives [`enum_map::Enum`] and [`strum::IntoStaticStr`] is one. A new variant then has its text, its
/// series and its place in every [`enum_map::EnumMap`] without further code.
pub trait Label: Enum + Copy + Into<&'static str> {
    /// Every value, in the order of declaration.
    fn all() -> impl Iterator<Item = Self> + Clone {
        (0..Self::Array::<()>::LENGTH).map(Self::from_usize)
    }

    /// The value's text.
    fn as_str(self) -> &'static str {
        self.into()
    }

    /// The value with this text.
    fn from_label(text: &str) -> Option<Self> {
        Self::all().find(|value| value.as_str() == text)
    }
}

impl<T: Enum + Copy + Into<&'static str>> Label for T {}
