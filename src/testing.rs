//! Faults and bugs on purpose. Only the tests' builds have them.

#[cfg(feature = "faults")]
pub mod failpoint;
pub mod mutant;

/// Values that an environment variable names: `RenewRow` as `renew-row`.
#[cfg(feature = "faults")]
pub trait Named: clap::ValueEnum {
    /// The value's name.
    fn name(&self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The value with this name, if there is one.
    fn named(name: &str) -> Option<Self> {
        Self::from_str(name, false).ok()
    }
}

#[cfg(feature = "faults")]
impl<T: clap::ValueEnum> Named for T {}
