//! The overview's parts as HTML: made once for all who look at the same sample.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::day::{self, Range};
use super::{facts, now, sentence};
use crate::page::sampler::Sample;
use crate::page::verdict::verdict;

/// The parts that change all the time, as HTML.
#[derive(Debug)]
pub(in crate::page) struct Parts {
    pub(in crate::page) verdict: String,
    pub(in crate::page) now: String,
}

/// A sample, and what was made of it.
pub(in crate::page) struct Rendered {
    pub(in crate::page) sample: Arc<Sample>,
    /// Without and with texts, made when they are first asked for.
    parts: [OnceLock<Parts>; 2],
    charts: [OnceLock<String>; Range::COUNT],
}

impl Rendered {
    /// The parts that change all the time, with names and reasons or without.
    pub(in crate::page) fn parts(&self, with_texts: bool) -> &Parts {
        let [without, with] = &self.parts;
        let made = || Parts {
            verdict: sentence(&verdict(&facts(&self.sample, with_texts))).into_string(),
            now: now::cards(&self.sample).into_string(),
        };
        if with_texts { with } else { without }.get_or_init(made)
    }

    /// The charts.
    pub(in crate::page) fn charts(&self, range: Range) -> &str {
        let [quarter, hour, hours, day] = &self.charts;
        let charts = match range {
            Range::Quarter => quarter,
            Range::Hour => hour,
            Range::SixHours => hours,
            Range::Day => day,
        };
        charts.get_or_init(|| day::charts(self.sample.day.as_deref(), range).into_string())
    }
}

/// What was made of the last sample.
#[derive(Clone, Default)]
pub(in crate::page) struct Cache(Arc<Mutex<Option<Arc<Rendered>>>>);

impl Cache {
    /// What is made of `sample`: the same for all who ask.
    pub(in crate::page) fn of(&self, sample: Arc<Sample>) -> Arc<Rendered> {
        let mut last = self.0.lock();
        match &*last {
            Some(rendered) if Arc::ptr_eq(&rendered.sample, &sample) => Arc::clone(rendered),
            _ => {
                let (parts, charts) = Default::default();
                Arc::clone(last.insert(Arc::new(Rendered { sample, parts, charts })))
            }
        }
    }
}
