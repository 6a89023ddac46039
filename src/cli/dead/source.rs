//! Who has the dead letters.

use std::sync::Arc;

use super::selection::query;
use crate::cli::api_client::ApiClient;
use crate::cli::failure::Failure;
use crate::operations::documents::letters::{GroupsDocument, LettersDocument};
use crate::operations::groups::groups;
use crate::operations::matching;
use crate::port::dead_letters::{DeadLetterSelection, DeadLetters};

pub(super) enum Source {
    Server(ApiClient),
    Store(Arc<dyn DeadLetters>),
}

impl Source {
    /// At most `limit` letters that match, from the one behind the id `after` on.
    pub(super) async fn page(
        &self,
        selection: &DeadLetterSelection,
        after: i64,
        limit: usize,
    ) -> Result<LettersDocument, Failure> {
        match self {
            Self::Server(server) => {
                let page = [("after_id", after.to_string()), ("limit", limit.to_string())];
                server.get("/dead-letters", &[&page[..], &query(selection)].concat()).await
            }
            Self::Store(store) => {
                let page = matching::page(&**store, selection, after, limit).await.map_err(Failure::work)?;
                Ok(LettersDocument::new(&page, selection))
            }
        }
    }

    /// The largest `limit` groups of letters that match.
    pub(super) async fn groups(
        &self,
        selection: &DeadLetterSelection,
        limit: usize,
    ) -> Result<GroupsDocument, Failure> {
        match self {
            Self::Server(server) => {
                let page = [("limit", limit.to_string())];
                server.get("/dead-letter-groups", &[&page[..], &query(selection)].concat()).await
            }
            Self::Store(store) => {
                let found = groups(&**store, selection).await.map_err(Failure::work)?;
                Ok(GroupsDocument::page(found, selection, 0, limit))
            }
        }
    }
}
