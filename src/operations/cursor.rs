//! Where the next page of a list begins: a text that means nothing to anybody else, and belongs to one list and one filter.

use std::fmt::Debug;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha1_smol::Sha1;

/// Why a text is no cursor, or not one of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Nothing that this program made.
    #[error("is no cursor of this program; take it from the page before, as it is")]
    Unreadable,
    /// Made for another filter.
    #[error("belongs to a list with other filters; repeat the filters of the page before")]
    OtherFilter,
}

/// The form that cursors have today.
const VERSION: &str = "1";

/// A list: its name, and what it was filtered by.
#[derive(Debug, Clone, Copy)]
pub struct List<'a, F>(pub &'a str, pub &'a F);

impl<F: Debug> List<'_, F> {
    /// The cursor of a position, whatever that is.
    pub fn cursor(&self, position: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(format!("{VERSION}:{}:{position}", self.print()))
    }

    /// The position of a cursor.
    ///
    /// # Errors
    /// When it is none of this list.
    pub fn position(&self, cursor: &str) -> Result<String, CursorError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError::Unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| CursorError::Unreadable)?;
        match text.splitn(3, ':').collect::<Vec<_>>()[..] {
            [VERSION, print, position] if print == self.print() => Ok(position.to_owned()),
            [VERSION, ..] => Err(CursorError::OtherFilter),
            _ => Err(CursorError::Unreadable),
        }
    }

    fn print(&self) -> String {
        let Self(name, filter) = self;
        Sha1::from(format!("{name} {filter:?}")).digest().to_string().chars().take(8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_position_in_its_own_list_alone() {
        let list = List("letters", &Some(7));
        let cursor = list.cursor("a:b 🎁");
        assert_eq!(list.position(&cursor).as_deref(), Ok("a:b 🎁"));
        assert_eq!(List("letters", &Some(8)).position(&cursor), Err(CursorError::OtherFilter));
        assert_eq!(List("groups", &Some(7)).position(&cursor), Err(CursorError::OtherFilter));
        for text in ["", "!", "🎁", "MQ", &cursor[1..], &format!("{cursor}=")] {
            assert!(list.position(text).is_err(), "{text}");
        }
    }
}
