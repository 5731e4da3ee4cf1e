//! Rows as text and bytes, read and written as Spark does.
//!
//! [`number`] and [`time`] are the ground: single values between text and Arrow's integers and doubles. [`json`],
//! [`csv`], [`parquet`] and [`text`] read and write whole columns, [`infer`] finds the schema a file suggests and
//! [`options`] understands Spark's names for all their settings.
//!
//! To add a format, write `format/<name>.rs` and give it a variant in [`FileFormat`].

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) mod column;
pub mod columns;
pub(crate) mod compression;
pub mod csv;
pub mod encoding;
pub(crate) mod file;
pub mod infer;
pub mod json;
pub(crate) mod malformed;
pub mod number;
pub mod options;
pub mod parquet;
pub mod text;
pub mod time;
#[cfg(test)]
pub(crate) mod vectors;

pub use compression::without_compression;
pub use file::FileFormat;

/// Appends bytes as Spark shows them: `[01 FF]`.
pub(crate) fn write_hex(bytes: &[u8], out: &mut String) {
    out.push('[');
    for (index, byte) in bytes.iter().enumerate() {
        let _ = write!(out, "{}{byte:02X}", if index > 0 { " " } else { "" });
    }
    out.push(']');
}

/// Applies `work` to every item on up to `threads` threads; the results keep the order of the items.
pub(crate) fn in_order<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let take = || next.fetch_add(1, Ordering::Relaxed);
                    std::iter::repeat_with(take)
                        .map_while(|index| items.get(index).map(|item| (index, work(item))))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("reading does not panic"))
            .collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
