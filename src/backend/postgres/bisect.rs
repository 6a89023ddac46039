//! Finds the rows that a batch fails by, so that they never harm their neighbours.

use futures::future::BoxFuture;

use super::errors::Failure;

/// Runs a batch; if some row's data fails it, runs its halves, down to the rows at fault. Answers by position: what the
/// statement said, or why the database refuses the row.
///
/// One bad row among n costs about 2·log₂(n) more statements, n bad rows 2·n.
///
/// # Errors
/// Any failure that is not a row's fault. Parts that ran before it stay committed.
pub(super) async fn run<'a, T, A>(
    items: &'a [T],
    statement: impl Fn(&'a [T]) -> BoxFuture<'a, Result<Vec<A>, Failure>>,
) -> Result<Vec<Result<A, String>>, Failure> {
    let mut answers = Vec::with_capacity(items.len());
    let mut parts = vec![items];
    while let Some(part) = parts.pop() {
        match statement(part).await {
            Ok(done) => answers.extend(done.into_iter().map(Ok)),
            Err(Failure::Data(reason)) if part.len() <= 1 => answers.push(Err(reason)),
            Err(Failure::Data(_)) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push(second);
                parts.push(first);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_the_rows_at_fault_are_refused_and_answers_keep_their_places() {
        let items: Vec<i32> = (0..100).collect();
        let answers = run(&items, |part| {
            async move {
                if part.iter().any(|item| [0, 41, 42, 99].contains(item)) {
                    Err(Failure::Data("bad".to_owned()))
                } else {
                    Ok(part.to_vec())
                }
            }
            .boxed()
        })
        .await
        .unwrap();
        let expected: Vec<_> = (0..100)
            .map(|item| if [0, 41, 42, 99].contains(&item) { Err("bad".to_owned()) } else { Ok(item) })
            .collect();
        assert_eq!(answers, expected);
    }

    #[tokio::test]
    async fn a_batch_of_bad_rows_alone_costs_two_statements_a_row() {
        let items = [(); 64];
        let statements = AtomicUsize::new(0);
        let answers = run(&items, |_| {
            statements.fetch_add(1, Ordering::Relaxed);
            async { Err::<Vec<()>, _>(Failure::Data("bad".to_owned())) }.boxed()
        })
        .await
        .unwrap();
        assert_eq!(answers, vec![Err("bad".to_owned()); 64]);
        assert_eq!(statements.into_inner(), 127);
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_no_rows_fault() {
        let answer =
            run(&[1, 2], |_| async { Err::<Vec<()>, _>(Failure::Unavailable("away".to_owned())) }.boxed()).await;
        assert_eq!(answer, Err(Failure::Unavailable("away".to_owned())));
    }
}
