//! Claims whose answers never arrived. The server may have carried them out: then their messages are under a lease
//! that nobody knows of.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Most claims that are remembered, which `hand_back.lua` insists on too. Those beyond it are left to their leases.
const MOST: usize = 100;

/// Tokens of such claims, oldest first.
#[derive(Default)]
pub(super) struct LostClaims(Mutex<VecDeque<String>>);

impl LostClaims {
    /// Remembers one, and forgets the oldest if there are too many.
    pub(super) fn remember(&self, token: String) {
        let mut tokens = self.0.lock();
        if tokens.len() == MOST {
            tokens.pop_front();
        }
        tokens.push_back(token);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }

    /// Forgets these, as their messages were handed back.
    pub(super) fn forget(&self, handed_back: &[String]) {
        self.0.lock().retain(|token| !handed_back.contains(token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let lost = LostClaims::default();
        for number in 0..=MOST {
            lost.remember(number.to_string());
        }
        assert_eq!(lost.all().len(), MOST);
        assert_eq!(lost.all().first().map(String::as_str), Some("1"));
    }

    #[test]
    fn what_was_handed_back_is_forgotten_and_what_came_since_is_not() {
        let lost = LostClaims::default();
        lost.remember("one".to_owned());
        let handed_back = lost.all();
        lost.remember("two".to_owned());
        lost.forget(&handed_back);
        assert_eq!(lost.all(), ["two"]);
    }
}
