//! The pages of a batch, one after the other. One page that is asked for later is a batch of one.

use std::collections::HashSet;

use crate::http::{BatchBody, ExtractBody, Problem};
use crate::request::Request;

/// What is left of a batch.
#[derive(Debug)]
pub(crate) struct Batch {
    body: BatchBody,
    next: u32,
    done: HashSet<u32>,
}

impl Batch {
    pub(crate) fn new(body: BatchBody) -> Self {
        Self { body, next: 0, done: HashSet::new() }
    }

    /// One page.
    pub(crate) fn of_one(body: ExtractBody) -> Self {
        Self::new(BatchBody::of_one(body))
    }

    /// An item is answered and not worked on again.
    pub(crate) fn answered(&mut self, item: u32) {
        self.done.insert(item);
    }

    /// The next item to work on.
    pub(crate) fn next(&mut self) -> Option<(u32, Result<Request, Problem>)> {
        while self.next < self.body.items() {
            let item = self.next;
            self.next += 1;
            if !self.done.contains(&item)
                && let Some(body) = self.body.item(item)
            {
                return Some((item, body.request()));
            }
        }
        None
    }

    /// The address of an item, if it has one.
    pub(crate) fn url(&self, item: u32) -> Option<String> {
        self.body.item(item).and_then(|body| body.url)
    }

    /// Items that have not been given out.
    pub(crate) fn left(&self) -> u32 {
        (self.next..self.body.items()).filter(|item| !self.done.contains(item)).count() as u32
    }
}
