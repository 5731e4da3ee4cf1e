//! Sets of row numbers that were given out in ascending order: what was acknowledged, what was received.
//!
//! Sooner or later such a set has (nearly) every number up to the last one, so it is kept in pages of bits, and a page
//! that is full costs nothing any more: an hour at a million rows a second is a handful of kilobytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bits of a page.
const PAGE: u64 = 4_096;
const WORDS: usize = (PAGE / 64) as usize;

/// A set of row numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct SequenceSet {
    /// Pages that have some of their numbers.
    partial: BTreeMap<u64, Box<Page>>,
    /// Runs of pages that have all of them: first page and the one after the last.
    full: BTreeMap<u64, u64>,
    len: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    words: [u64; WORDS],
    len: u64,
}

impl Page {
    const FULL: Page = Page {
        words: [u64::MAX; WORDS],
        len: PAGE,
    };
    const EMPTY: Page = Page {
        words: [0; WORDS],
        len: 0,
    };

    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number % PAGE / 64) as usize, 1 << (number % 64));
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += u64::from(is_new);
        is_new
    }

    fn has(&self, number: u64) -> bool {
        self.words[(number % PAGE / 64) as usize] & (1 << (number % 64)) != 0
    }
}

impl SequenceSet {
    /// No numbers.
    pub const EMPTY: SequenceSet = SequenceSet {
        partial: BTreeMap::new(),
        full: BTreeMap::new(),
        len: 0,
    };

    /// Adds a number; says whether it is new.
    #[inline]
    pub fn insert(&mut self, number: u64) -> bool {
        let index = number / PAGE;
        if let Some(page) = self.partial.get_mut(&index) {
            let is_new = page.insert(number);
            self.len += u64::from(is_new);
            if page.len == PAGE {
                self.partial.remove(&index);
                self.fill(index);
            }
            return is_new;
        }
        if self.is_full(index) {
            return false;
        }
        let mut page = Box::new(Page::EMPTY);
        page.insert(number);
        self.partial.insert(index, page);
        self.len += 1;
        true
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        let index = number / PAGE;
        self.is_full(index) || self.partial.get(&index).is_some_and(|page| page.has(number))
    }

    /// How many numbers it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The numbers that are in this set and not in `other`, ascending.
    pub fn without<'a>(&'a self, other: &'a SequenceSet) -> impl Iterator<Item = u64> + 'a {
        self.pages().flat_map(move |(index, page)| {
            let words = (0..WORDS).map(move |word| (word, page.words[word] & !other.words_of(index)[word]));
            words.flat_map(move |(word, bits)| {
                let first = index * PAGE + word as u64 * 64;
                (0..64)
                    .filter(move |bit| bits & (1 << bit) != 0)
                    .map(move |bit| first + bit)
            })
        })
    }

    /// How many numbers are in this set and not in `other`.
    pub fn count_without(&self, other: &SequenceSet) -> u64 {
        self.pages()
            .map(|(index, page)| {
                let theirs = other.words_of(index);
                let missing = page
                    .words
                    .iter()
                    .zip(theirs)
                    .map(|(ours, theirs)| (ours & !theirs).count_ones());
                u64::from(missing.sum::<u32>())
            })
            .sum()
    }

    /// The pages that are not empty; not in order.
    fn pages(&self) -> impl Iterator<Item = (u64, &Page)> {
        const FULL: &Page = &Page::FULL;
        let full = self
            .full
            .iter()
            .flat_map(|(first, end)| (*first..*end).map(|index| (index, FULL)));
        full.chain(self.partial.iter().map(|(index, page)| (*index, &**page)))
    }

    fn words_of(&self, index: u64) -> &[u64; WORDS] {
        const FULL: &Page = &Page::FULL;
        const EMPTY: &Page = &Page::EMPTY;
        match self.partial.get(&index) {
            Some(page) => &page.words,
            None if self.is_full(index) => &FULL.words,
            None => &EMPTY.words,
        }
    }

    fn is_full(&self, index: u64) -> bool {
        let run = self.full.range(..=index).next_back();
        run.is_some_and(|(_, end)| index < *end)
    }

    /// Adds a full page to the run it continues, or begins one.
    fn fill(&mut self, index: u64) {
        let end = self.full.remove(&(index + 1)).unwrap_or(index + 1);
        match self
            .full
            .range_mut(..=index)
            .next_back()
            .filter(|(_, end)| **end == index)
        {
            Some((_, before)) => *before = end,
            None => {
                self.full.insert(index, end);
            }
        }
    }
}

/// A set as workers hand it to each other.
#[derive(Serialize, Deserialize)]
struct Written {
    full: Vec<(u64, u64)>,
    pages: Vec<(u64, Vec<u64>)>,
}

impl From<SequenceSet> for Written {
    fn from(set: SequenceSet) -> Written {
        Written {
            full: set.full.into_iter().collect(),
            pages: set
                .partial
                .into_iter()
                .map(|(index, page)| (index, page.words.to_vec()))
                .collect(),
        }
    }
}

impl From<Written> for SequenceSet {
    fn from(written: Written) -> SequenceSet {
        let mut set = SequenceSet::default();
        for (first, end) in written.full {
            set.len += end.saturating_sub(first) * PAGE;
            set.full.insert(first, end);
        }
        for (index, given) in written.pages {
            let mut page = Page::EMPTY;
            for (word, given) in page.words.iter_mut().zip(given) {
                *word = given;
            }
            page.len = page.words.iter().map(|word| u64::from(word.count_ones())).sum();
            set.len += page.len;
            set.partial.insert(index, Box::new(page));
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = u64>) -> SequenceSet {
        let mut set = SequenceSet::default();
        numbers.into_iter().for_each(|number| {
            set.insert(number);
        });
        set
    }

    #[test]
    fn full_pages_are_forgotten_whatever_order_they_filled_in() {
        let last_first = (0..3 * PAGE).rev();
        let set = of(last_first);
        assert_eq!((set.partial.len(), set.full.len(), set.len()), (0, 1, 3 * PAGE));
        assert!(set.contains(0) && set.contains(3 * PAGE - 1) && !set.contains(3 * PAGE));
    }

    #[test]
    fn a_number_of_a_full_page_is_not_new() {
        let mut set = of(0..PAGE);
        assert!(!set.insert(17) && set.insert(PAGE));
        assert_eq!(set.len(), PAGE + 1);
    }

    #[test]
    fn what_is_missing_is_told_also_within_full_pages() {
        let sent = of(0..2 * PAGE);
        let seen = of((0..2 * PAGE).filter(|number| ![3, PAGE + 1].contains(number)));
        assert_eq!(sent.without(&seen).collect::<Vec<_>>(), [3, PAGE + 1]);
        assert_eq!(sent.count_without(&seen), 2);
        assert_eq!(seen.count_without(&sent), 0);
    }

    proptest! {
        /// It says of every number what a set of the standard library says, also after it was written and read.
        #[test]
        fn it_is_a_set(ours in prop::collection::vec(0u64..20_000, 0..300), theirs in prop::collection::vec(0u64..20_000, 0..300), from in 0u64..9_000, len in 0u64..9_000) {
            let run = from..from + len;
            let (set, other) = (of(run.clone().chain(ours.clone())), of(theirs.clone()));
            let known: BTreeSet<u64> = run.chain(ours).collect();
            let text = serde_json::to_string(&set).unwrap();
            let set: SequenceSet = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(set.len(), known.len() as u64);
            let theirs: BTreeSet<u64> = theirs.into_iter().collect();
            let left: BTreeSet<u64> = set.without(&other).collect();
            prop_assert_eq!(&left, &known.difference(&theirs).copied().collect());
            prop_assert_eq!(set.count_without(&other), left.len() as u64);
        }
    }
}
