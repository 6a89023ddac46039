//! Counts by size.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many values fell into each bucket: up to and including its bound, and the last one above all bounds. `N` is one more than
/// there are bounds.
///
/// As JSON, an array without the zeroes at its end. Buckets with other bounds need another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets<const N: usize>(pub [u64; N]);

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Buckets<N> {
    /// How many values.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }

    /// Adds the values of `other`.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count = count.saturating_add(*more);
        }
    }
}

/// The number of the bucket that `value` falls into, by these bounds.
pub fn bucket(bounds: &[f64], value: f64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

impl<const N: usize> Serialize for Buckets<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let used = self.0.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1);
        serializer.collect_seq(self.0.iter().take(used))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Buckets<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reader)
    }
}

struct Reader<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for Reader<N> {
    type Value = Buckets<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {N} counts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut counts: A) -> Result<Buckets<N>, A::Error> {
        let mut buckets = Buckets::default();
        let mut at = 0;
        while let Some(count) = counts.next_element::<u64>()? {
            // A bucket above our bounds is above all of them.
            if let Some(bucket) = buckets.0.get_mut(at.min(N.saturating_sub(1))) {
                *bucket = bucket.saturating_add(count);
            }
            at += 1;
        }
        Ok(buckets)
    }
}
