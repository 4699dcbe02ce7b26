//! Children that batch work leaves to those that somebody waits for.
//!
//! Batch work may hold every child but these, however many of them are idle: one that it held would be free only when its
//! job is over, and whoever waits for an answer would wait for that. Those of a caller that somebody waits for count as free
//! for the next such caller, so that batch work gets on beside them.

use crate::lease::Priority;

/// How many of a pool's children are kept for those that somebody waits for. One is left to batch work in any case: of a
/// pool with a single child, order has to do.
pub(super) fn kept(reserved: u32, target: u32) -> usize {
    reserved.min(target.saturating_sub(1)) as usize
}

/// Whether one of `idle` children goes to a caller of `priority`, while `others` are lent to callers that somebody waits for.
pub(super) fn lends(priority: Priority, kept: usize, idle: usize, others: impl FnOnce() -> usize) -> bool {
    match priority {
        Priority::Interactive => idle > 0,
        Priority::Batch => idle > kept || (idle > 0 && idle + others() > kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_child_is_always_left_to_batch_work() {
        for (reserved, target, expected) in
            [(0, 4, 0), (1, 0, 0), (1, 1, 0), (1, 2, 1), (1, 16, 1), (3, 4, 3), (4, 4, 3), (u32::MAX, 2, 1)]
        {
            assert_eq!(kept(reserved, target), expected, "{reserved} reserved of {target}");
        }
    }

    /// Every pool of up to six children, however they are lent, with every reserve.
    #[test]
    fn batch_work_gets_a_child_exactly_if_those_that_are_kept_stay() {
        for size in 1..=6u32 {
            for reserved in 0..=7 {
                let kept = kept(reserved, size);
                for lent in 0..=size as usize {
                    let idle = size as usize - lent;
                    for others in 0..=lent {
                        let what = format!("{size} children, {kept} kept, {idle} idle, {others} lent to others");
                        assert_eq!(lends(Priority::Interactive, kept, idle, || others), idle > 0, "{what}");
                        let batch = lends(Priority::Batch, kept, idle, || others);
                        assert_eq!(batch, idle > 0 && idle - 1 + others >= kept, "{what}");
                        let batch_holds = lent - others;
                        assert!(!batch || batch_holds + 1 + kept <= size as usize, "{what}: it holds one of those that are kept");
                        assert!(batch || idle == 0 || batch_holds > 0, "{what}: an idle one was kept from work that has none");
                        assert!(batch || idle == 0 || kept > 0, "{what}: nothing is kept, and it got none");
                    }
                }
            }
        }
    }

    /// Counting goes over the children: not where an idle one is there in any case.
    #[test]
    fn nothing_is_counted_that_does_not_matter() {
        let count = || -> usize { panic!("counted") };
        assert!(lends(Priority::Interactive, 1, 1, count));
        assert!(lends(Priority::Batch, 1, 2, count));
        assert!(!lends(Priority::Batch, 1, 0, count));
    }
}
