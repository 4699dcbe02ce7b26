//! What sites have said in their robots.txt, remembered for a while, each asked once however many want to know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Rules;

/// What a site has said.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// These are its rules; none if it has no such file.
    Rules(Arc<Rules>),
    /// It did not say: nothing is asked of it until it does.
    Silent {
        /// What it answered instead, or why it did not.
        why: Arc<str>,
        /// It was not reached at all.
        unreached: bool,
    },
}

/// Sites that are remembered.
const SITES: usize = 4_096;
/// Bytes of all their rules.
const BYTES: usize = 16 << 20;

/// What sites have said.
#[derive(Debug, Default)]
pub(crate) struct Known {
    sites: Mutex<Sites>,
}

#[derive(Debug, Default)]
struct Sites {
    by_origin: HashMap<Arc<str>, Site>,
    bytes: usize,
}

#[derive(Debug)]
struct Site {
    slot: Arc<Slot>,
    bytes: usize,
    used: Instant,
}

/// Held by whoever asks, so that the others wait for what it learns. If it goes away, the next one asks.
type Slot = tokio::sync::Mutex<Option<(Standing, Instant)>>;

impl Known {
    /// What the site at `origin` has said, or says now: `ask` brings it, and for how long it is good.
    pub(crate) async fn of<E, F>(&self, origin: &str, ask: impl FnOnce() -> F) -> Result<(Standing, Duration), E>
    where
        F: Future<Output = Result<(Standing, Duration), E>>,
    {
        let slot = self.slot(origin);
        let mut said = slot.lock().await;
        let now = Instant::now();
        if let Some((standing, until)) = said.as_ref().filter(|(_, until)| *until > now) {
            return Ok((standing.clone(), *until - now));
        }
        let (standing, good) = ask().await?;
        *said = Some((standing.clone(), Instant::now() + good));
        self.weigh(origin, &slot, &standing);
        Ok((standing, good))
    }

    /// Sites that are remembered now.
    pub(crate) fn len(&self) -> usize {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner).by_origin.len()
    }

    fn slot(&self, origin: &str) -> Arc<Slot> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = sites.by_origin.get_mut(origin) {
            site.used = Instant::now();
            return Arc::clone(&site.slot);
        }
        sites.make_room(SITES - 1, BYTES);
        let slot = Arc::<Slot>::default();
        sites.by_origin.insert(origin.into(), Site { slot: Arc::clone(&slot), bytes: 0, used: Instant::now() });
        slot
    }

    fn weigh(&self, origin: &str, slot: &Arc<Slot>, standing: &Standing) {
        let weight = match standing {
            Standing::Rules(rules) => rules.weight(),
            Standing::Silent { why, .. } => why.len(),
        };
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been forgotten meanwhile, and come again.
        if let Some(site) = sites.by_origin.get_mut(origin).filter(|site| Arc::ptr_eq(&site.slot, slot)) {
            let before = std::mem::replace(&mut site.bytes, weight);
            sites.bytes = sites.bytes - before + weight;
        }
        sites.make_room(SITES, BYTES);
    }
}

impl Sites {
    /// Forgets those that were used longest ago, a quarter at once, until no more than so much is left.
    fn make_room(&mut self, sites: usize, bytes: usize) {
        while self.by_origin.len() > sites || self.bytes > bytes {
            let mut used: Vec<_> = self.by_origin.values().map(|site| site.used).collect();
            let most = used.len().div_ceil(4);
            let (_, last, _) = used.select_nth_unstable(most - 1);
            let last = *last;
            self.by_origin.retain(|_, site| site.used > last);
            self.bytes = self.by_origin.values().map(|site| site.bytes).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn said(text: &str) -> Standing {
        Standing::Rules(Arc::new(Rules::parse(text.as_bytes(), "eventmesh")))
    }

    #[tokio::test(start_paused = true)]
    async fn a_site_is_asked_once_until_it_may_have_changed_its_mind() {
        let (known, asked) = (Known::default(), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, ()>((said("User-agent: *\nDisallow: /"), HOUR))
        };
        let (one, two, three) = tokio::join!(known.of("http://a", ask), known.of("http://a", ask), known.of("http://a", ask));
        for said in [one, two, three] {
            assert!(matches!(said, Ok((Standing::Rules(rules), _)) if !rules.allow("/x")));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(HOUR / 2).await;
        drop(known.of("http://a", ask).await);
        drop(known.of("https://a", ask).await);
        assert_eq!(asked.load(Ordering::SeqCst), 2, "another scheme is another site");
        tokio::time::advance(HOUR).await;
        drop(known.of("http://a", ask).await);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_or_goes_away_keeps_nobody_from_asking() {
        let known = Known::default();
        assert_eq!(known.of("http://a", || async { Err::<_, u8>(1) }).await.map(drop), Err(1));
        let never = known.of("http://a", std::future::pending::<Result<_, u8>>);
        assert!(tokio::time::timeout(Duration::from_secs(1), never).await.is_err());
        assert!(known.of("http://a", || async { Ok::<_, u8>((said(""), HOUR)) }).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded_by_number_and_bytes() {
        let known = Known::default();
        for site in 0..SITES * 2 {
            tokio::time::advance(Duration::from_millis(1)).await;
            drop(known.of(&format!("http://{site}"), || async { Ok::<_, u8>((said(""), HOUR)) }).await);
            assert!(known.len() <= SITES);
        }
        let large = format!("User-agent: *\n{}", "Disallow: /0123456789012345678901234567890123456789\n".repeat(5_000));
        let large = said(&large);
        for site in 0..100 {
            tokio::time::advance(Duration::from_millis(1)).await;
            drop(known.of(&format!("http://large/{site}"), || async { Ok::<_, u8>((large.clone(), HOUR)) }).await);
            assert!(known.sites.lock().expect("nobody panics").bytes <= BYTES);
        }
    }
}
