//! Work on several threads whose result does not depend on how many there are.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// `f` of every item, `threads` at a time, in the items' order. After a failure no further item is
/// begun; the error is that of the first item that failed, in their order.
///
/// # Errors
/// As `f`.
pub fn each<I, T: Send, E: Send>(
    threads: usize,
    items: impl IntoIterator<Item = I, IntoIter: ExactSizeIterator + Send>,
    f: impl Fn(I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let items = items.into_iter();
    let others = threads.min(items.len()).saturating_sub(1);
    let waiting = Mutex::new(items.enumerate());
    let done: Mutex<Vec<(usize, Result<T, E>)>> = Mutex::new(Vec::new());
    // Items are begun in their order, so all before one that failed are begun and come to their
    // end.
    let work = || {
        loop {
            if held(&done).iter().any(|(_, result)| result.is_err()) {
                return;
            }
            let Some((place, item)) = held(&waiting).next() else {
                return;
            };
            let result = f(item);
            held(&done).push((place, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_items_order_and_the_first_error_wins() {
        for threads in [0, 1, 3, 50] {
            assert_eq!(
                each(threads, 0..20, |i| Ok::<_, ()>(i * i)).unwrap(),
                (0..20).map(|i| i * i).collect::<Vec<_>>()
            );
            assert_eq!(
                each(threads, 0..20, |i| if i % 7 == 6 { Err(i) } else { Ok(()) }),
                Err(6)
            );
            let mut slots = [1, 2, 3];
            each(threads, slots.iter_mut(), |slot| {
                *slot += 1;
                Ok::<_, ()>(())
            })
            .unwrap();
            assert_eq!(slots, [2, 3, 4]);
        }
        assert_eq!(each(2, Vec::<u8>::new(), Ok::<_, ()>), Ok(vec![]));
    }
}
