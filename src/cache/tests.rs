//! The cache as its callers see it: who fetches, who waits, who gets what.

use std::convert::Infallible;
use std::future::{Pending, Ready, pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::*;

const START: UnixTime = UnixTime::from_millis(1_000_000_000);

fn at(seconds: u64) -> UnixTime {
    START + Duration::from_secs(seconds)
}

fn key(path: &str) -> Key {
    Key::new(&url::Url::parse(&format!("https://example.com/{path}")).expect("a URL"), b"", "1")
}

async fn cache() -> Cache<String> {
    Cache::open(CacheConfig { refreshes: 2, ..CacheConfig::default() }).await.expect("opens")
}

fn freshness(status: u16, control: &str, now: UnixTime) -> Freshness {
    let headers = [("Cache-Control", control), ("ETag", "\"1\"")];
    Freshness::of(&ResponseHead { status, headers: &headers, authorized: false }, now, &FreshnessPolicy::default())
}

fn document(body: &'static str, control: &str, now: UnixTime) -> Fetched<String> {
    Fetched::Document { body: body.into(), freshness: freshness(200, control, now) }
}

fn failed(failure: Failure) -> Fetched<String> {
    Fetched::Failed { failure, error: format!("{failure:?}"), keep: None }
}

fn missing(now: UnixTime) -> Fetched<String> {
    let head = ResponseHead { status: 404, headers: &[], authorized: false };
    let keep = Freshness::of_failure(&head, now, &FreshnessPolicy::default());
    Fetched::Failed { failure: Failure::Missing, error: "no such page".into(), keep: Some(("told so".into(), keep)) }
}

/// Asks, and answers the fetch, if there is one, with `fetched`.
async fn ask(
    cache: &Cache<String>,
    path: &str,
    now: UnixTime,
    fetched: Fetched<String>,
) -> Result<Answer<String>, Unanswered<String>> {
    cache.get_or_fetch(key(path), &Directives::default(), now, |_| ready(fetched)).await
}

/// Asks for what must be there.
async fn stored(cache: &Cache<String>, path: &str, now: UnixTime) -> Option<Answer<String>> {
    let directives = Directives { only_if_cached: true, ..Directives::default() };
    let unfetched = |_| -> Ready<Fetched<String>> { panic!("nothing is to be fetched") };
    match cache.get_or_fetch(key(path), &directives, now, unfetched).await {
        Ok(answer) => Some(answer),
        Err(Unanswered::NotCached) => None,
        Err(error @ (Unanswered::Failed { .. } | Unanswered::NothingToConfirm { .. })) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_document_is_fetched_once_and_renewed_when_it_is_stale() {
    let cache = cache().await;
    let answer = ask(&cache, "a", at(0), document("one", "max-age=60", at(0))).await.expect("answers");
    assert_eq!(answer.status.to_string(), "eventmesh; fwd=miss; stored; ttl=60");
    let answer = stored(&cache, "a", at(20)).await.expect("is stored");
    assert_eq!((answer.body, answer.content), ("one".into(), Content::Document));
    assert_eq!(answer.status.to_string(), "eventmesh; hit; ttl=40; detail=memory");

    // Stale: the source is asked with what it gave, and confirms.
    let mut asked = None;
    let confirm = |validators| {
        asked = validators;
        ready(Fetched::NotModified(freshness(304, "max-age=30", at(60))))
    };
    let answer = cache.get_or_fetch(key("a"), &Directives::default(), at(60), confirm).await.expect("answers");
    assert_eq!(asked.expect("a condition").etag.as_deref(), Some("\"1\""));
    assert_eq!(answer.body, "one");
    assert_eq!(answer.status.to_string(), "eventmesh; fwd=stale; fwd-status=304; stored; ttl=30");
    assert!(stored(&cache, "a", at(89)).await.is_some());

    // Fresh, but this caller wants it anew.
    let directives = Directives { max_age: Some(Duration::ZERO), ..Directives::default() };
    let fetch = |_| ready(document("two", "max-age=60", at(70)));
    let answer = cache.get_or_fetch(key("a"), &directives, at(70), fetch).await.expect("answers");
    assert_eq!((answer.body.clone(), answer.status.to_string()), ("two".into(), "eventmesh; fwd=request; stored; ttl=60".into()));

    let counts = cache.counts();
    assert_eq!(counts.requests(Tier::Memory, Outcome::Hit), 2);
    assert_eq!(counts.requests(Tier::Memory, Outcome::Revalidated), 1);
    assert_eq!(counts.requests(Tier::Source, Outcome::Miss), 2);
    assert_eq!(counts.total(), 5);
}

#[tokio::test]
async fn many_callers_cause_one_fetch() {
    let cache = cache().await;
    let fetches = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    let (land, landed) = oneshot::channel::<()>();
    let landed = landed.shared();
    for _ in 0..100 {
        let (cache, fetches, landed) = (cache.clone(), Arc::clone(&fetches), landed.clone());
        callers.spawn(async move {
            let fetch = |_| async move {
                fetches.fetch_add(1, Ordering::Relaxed);
                landed.await.expect("lands");
                document("one", "max-age=60", at(0))
            };
            cache.get_or_fetch(key("a"), &Directives::default(), at(0), fetch).await.expect("answers").status.to_string()
        });
    }
    tokio::task::yield_now().await;
    land.send(()).expect("somebody waits");
    let statuses = callers.join_all().await;
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
    let of = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
    assert_eq!(of("eventmesh; fwd=miss; stored; ttl=60"), 1);
    assert_eq!(of("eventmesh; fwd=miss; stored; collapsed; ttl=60"), 99);
    assert_eq!(cache.counts().requests(Tier::Source, Outcome::Coalesced), 99);
}

#[tokio::test]
async fn a_cancelled_leader_fails_nobody_and_its_fetch_goes_with_it() {
    let cache = cache().await;
    let none = Directives::default();
    let (held, gone) = oneshot::channel::<Infallible>();
    let hang = |_| async move {
        let _held = held;
        pending::<Fetched<String>>().await
    };
    let mut leader = Box::pin(cache.get_or_fetch(key("a"), &none, at(0), hang));
    assert!(leader.as_mut().now_or_never().is_none());
    let mut followers: Vec<_> = (0..3).map(|_| Box::pin(ask(&cache, "a", at(0), document("one", "max-age=60", at(0))))).collect();
    for follower in &mut followers {
        assert!(follower.as_mut().now_or_never().is_none(), "two fetch");
    }
    // One of those that wait has a deadline of its own.
    drop(followers.remove(1));
    drop(leader);
    assert!(gone.await.is_err(), "the fetch outlives its caller");
    for follower in followers {
        assert_eq!(follower.await.expect("answers").body, "one");
    }
    assert_eq!(cache.counts().requests(Tier::Source, Outcome::Miss), 1);
    assert_eq!(cache.counts().requests(Tier::Source, Outcome::Coalesced), 1);
}

#[tokio::test]
async fn a_failure_is_for_its_flight_only() {
    let cache = cache().await;
    let (fail, failing) = oneshot::channel();
    let none = Directives::default();
    let mut leader = Box::pin(cache.get_or_fetch(key("a"), &none, at(0), |_| async { failing.await.expect("fails") }));
    assert!(leader.as_mut().now_or_never().is_none());
    let mut follower = Box::pin(ask(&cache, "a", at(0), document("one", "max-age=60", at(0))));
    assert!(follower.as_mut().now_or_never().is_none());
    fail.send(failed(Failure::Broken)).expect("somebody waits");
    for (waiting, status) in [(leader.await, "eventmesh; fwd=miss"), (follower.await, "eventmesh; fwd=miss; collapsed")] {
        let unanswered = waiting.expect_err("it failed");
        assert_eq!((unanswered.to_string(), unanswered.status().to_string()), ("Broken".to_owned(), status.to_owned()));
    }
    assert_eq!(ask(&cache, "a", at(0), document("two", "max-age=60", at(0))).await.expect("answers").body, "two");
}

#[tokio::test]
async fn a_failure_that_is_the_leaders_own_is_nobody_elses_and_one_of_the_others_leads() {
    for own in Failure::ALL.into_iter().filter(|failure| failure.is_own()) {
        let (cache, fetches) = (cache().await, AtomicUsize::new(0));
        let none = Directives::default();
        let (fail, failing) = oneshot::channel();
        let mut leader = Box::pin(cache.get_or_fetch(key("a"), &none, at(0), |_| async { failing.await.expect("fails") }));
        assert!(leader.as_mut().now_or_never().is_none());
        let count = |fetched| {
            fetches.fetch_add(1, Ordering::Relaxed);
            ready(fetched)
        };
        // The first that leads next has no time either; the second has, and the third gets what that one brings.
        let mut waiting = vec![Box::pin(cache.get_or_fetch(key("a"), &none, at(0), |_| count(failed(own))))];
        let mut others: Vec<_> = (0..2)
            .map(|_| Box::pin(cache.get_or_fetch(key("a"), &none, at(0), |_| count(document("one", "max-age=60", at(0))))))
            .collect();
        assert!(waiting.iter_mut().all(|follower| follower.as_mut().now_or_never().is_none()));
        assert!(others.iter_mut().all(|follower| follower.as_mut().now_or_never().is_none()));
        fail.send(failed(own)).expect("somebody waits");
        assert!(matches!(leader.await, Err(Unanswered::Failed { error, .. }) if *error == format!("{own:?}")));
        let failed = waiting.remove(0).await;
        assert!(matches!(failed, Err(Unanswered::Failed { error, .. }) if *error == format!("{own:?}")), "its own fetch fails");
        for answer in futures_util::future::join_all(others).await {
            assert_eq!(answer.expect("has a fetch of its own").body, "one");
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 2, "{own:?}: one fetch for each that leads");
    }
}

#[tokio::test]
async fn a_makeshift_goes_to_its_asker_alone_and_what_is_stored_stays() {
    let cache = cache().await;
    let makeshift = || Fetched::Makeshift { body: "as it was sent".into(), at: at(0) };
    let answer = ask(&cache, "a", at(0), makeshift()).await.expect("answers");
    assert_eq!((answer.body.clone(), answer.status.to_string()), ("as it was sent".into(), "eventmesh; fwd=miss; ttl=0".into()));
    assert!(stored(&cache, "a", at(0)).await.is_none());

    ask(&cache, "b", at(0), document("one", "max-age=60, stale-while-revalidate=100", at(0))).await.expect("answers");
    let anew = Directives { max_age: Some(Duration::ZERO), ..Directives::default() };
    let answer = cache.get_or_fetch(key("b"), &anew, at(1), |_| ready(makeshift())).await.expect("answers");
    assert_eq!(answer.body, "as it was sent");
    assert_eq!(stored(&cache, "b", at(2)).await.expect("is as it was").body, "one");
    let refresh = stored(&cache, "b", at(70)).await.expect("is served").refresh.expect("nobody renews it yet");
    assert_eq!(refresh.run(|_| ready(makeshift())).await, Refreshed::Kept);
    assert_eq!(stored(&cache, "b", at(71)).await.expect("is as it was").body, "one");
}

#[tokio::test]
async fn what_may_not_be_shared_goes_to_its_leader_and_the_rest_fetch_at_once() {
    let cache = cache().await;
    let none = Directives::default();
    let (land, landing) = oneshot::channel();
    let mut leader = Box::pin(cache.get_or_fetch(key("a"), &none, at(0), |_| async { landing.await.expect("lands") }));
    assert!(leader.as_mut().now_or_never().is_none());
    let hang = |_| -> Pending<Fetched<String>> { pending() };
    let mut slow = Box::pin(cache.get_or_fetch(key("a"), &none, at(0), hang));
    let mut quick = Box::pin(ask(&cache, "a", at(0), document("mine", "private", at(0))));
    assert!(slow.as_mut().now_or_never().is_none());
    assert!(quick.as_mut().now_or_never().is_none());
    land.send(document("theirs", "private", at(0))).expect("somebody waits");
    let answer = leader.await.expect("answers");
    assert_eq!((answer.body.clone(), answer.status.to_string()), ("theirs".into(), "eventmesh; fwd=miss; ttl=300".into()));
    assert!(slow.as_mut().now_or_never().is_none());
    assert_eq!(quick.await.expect("answers").body, "mine", "it waits for another's fetch, or got another's page");
    assert!(stored(&cache, "a", at(0)).await.is_none());
}

#[tokio::test]
async fn failures_of_the_source_are_remembered_as_failures_and_others_are_not() {
    let cache = cache().await;
    for failure in Failure::ALL {
        let path = format!("{failure:?}");
        // Even if somebody claims that it is to be kept.
        let Fetched::Failed { keep, error, .. } = missing(at(0)) else { panic!("a failure") };
        let fetched = Fetched::Failed { failure, error, keep };
        let unanswered = ask(&cache, &path, at(0), fetched).await.expect_err("it failed");
        let expected = if failure.is_kept() { "eventmesh; fwd=miss; stored" } else { "eventmesh; fwd=miss" };
        assert_eq!(unanswered.status().to_string(), expected, "{failure:?}");
        let found = stored(&cache, &path, at(59)).await;
        assert_eq!(found.is_some(), failure.is_kept(), "{failure:?}");
        if let Some(answer) = found {
            assert_eq!((answer.content, answer.body), (Content::Failure, "told so".into()), "a failure came as a success");
            assert_eq!(answer.status.to_string(), "eventmesh; hit; ttl=1; detail=memory");
        }
        assert!(stored(&cache, &path, at(60)).await.is_none(), "{failure:?} is remembered for too long");
    }
}

#[tokio::test]
async fn a_page_that_has_gone_is_forgotten() {
    let cache = cache().await;
    ask(&cache, "a", at(0), document("one", "max-age=60, stale-if-error=600", at(0))).await.expect("answers");
    assert!(ask(&cache, "a", at(60), failed(Failure::Missing)).await.is_err(), "a stale page stood in for one that is gone");
    let late = ask(&cache, "a", at(61), failed(Failure::Late)).await;
    assert!(late.is_err(), "what had gone is back");
    // And a page that comes back replaces the failure.
    assert!(ask(&cache, "a", at(62), missing(at(62))).await.is_err());
    assert_eq!(ask(&cache, "a", at(200), document("two", "max-age=60", at(200))).await.expect("answers").body, "two");
    assert_eq!(stored(&cache, "a", at(201)).await.expect("is stored").content, Content::Document);
}

#[tokio::test]
async fn a_stale_document_stands_in_for_a_failing_source() {
    let cache = cache().await;
    ask(&cache, "a", at(0), document("one", "max-age=60, stale-if-error=100", at(0))).await.expect("answers");
    let answer = ask(&cache, "a", at(159), failed(Failure::Broken)).await.expect("stands in");
    assert_eq!(
        (answer.body.clone(), answer.status.to_string()),
        ("one".into(), "eventmesh; fwd=stale; ttl=-99; detail=stale-if-error".into())
    );
    assert!(ask(&cache, "a", at(159), failed(Failure::Ours)).await.is_err());
    let too_old = ask(&cache, "a", at(160), failed(Failure::Broken)).await.expect_err("it is too old to stand in");
    assert_eq!(too_old.status().to_string(), "eventmesh; fwd=stale");
    assert_eq!(cache.counts().requests(Tier::Memory, Outcome::Stale), 1);
}

#[tokio::test]
async fn a_stale_document_is_renewed_once_by_whom_its_caller_wants() {
    let cache = cache().await;
    for path in ["a", "b", "c"] {
        ask(&cache, path, at(0), document("one", "max-age=60, stale-while-revalidate=100", at(0))).await.expect("answers");
    }
    let stale = async |path| stored(&cache, path, at(70)).await.expect("is served").refresh;
    let answer = stored(&cache, "a", at(70)).await.expect("is served");
    assert_eq!(answer.status.to_string(), "eventmesh; hit; ttl=-10; detail=stale-while-revalidate");
    let first = answer.refresh.expect("nobody renews it yet");
    assert!(stale("a").await.is_none(), "two renew it");
    let second = stale("b").await.expect("nobody renews it yet");
    assert!(stale("c").await.is_none(), "more are renewed at once than may be");
    drop(second);
    let third = stale("c").await.expect("there is room again");

    let confirm = |validators: Option<Validators>| {
        assert!(validators.is_some());
        ready(Fetched::NotModified(freshness(304, "max-age=60", at(70))))
    };
    assert_eq!(first.run(confirm).await, Refreshed::Confirmed);
    assert_eq!(stored(&cache, "a", at(129)).await.expect("is fresh").status.to_string(), "eventmesh; hit; ttl=1; detail=memory");
    assert_eq!(third.run(|_| ready(failed(Failure::Late))).await, Refreshed::Kept);
    let again = stale("c").await.expect("the next one renews it");
    assert_eq!(again.run(|_| ready(document("two", "max-age=60", at(70)))).await, Refreshed::Replaced);
    assert_eq!(stored(&cache, "c", at(71)).await.expect("is fresh").body, "two");
    let gone = stale("b").await.expect("the next one renews it");
    assert_eq!(gone.run(|_| ready(missing(at(70)))).await, Refreshed::Dropped);
    assert_eq!(stored(&cache, "b", at(71)).await.expect("is remembered").content, Content::Failure);
}

#[tokio::test]
async fn who_cannot_wait_for_a_renewal_joins_it() {
    let cache = cache().await;
    ask(&cache, "a", at(0), document("one", "max-age=60, stale-while-revalidate=100", at(0))).await.expect("answers");
    let refresh = stored(&cache, "a", at(70)).await.expect("is served").refresh.expect("nobody renews it yet");
    let (land, landing) = oneshot::channel();
    let mut renewal = Box::pin(refresh.run(|_| async { landing.await.expect("lands") }));
    assert!(renewal.as_mut().now_or_never().is_none());
    let anew = Directives { max_age: Some(Duration::ZERO), ..Directives::default() };
    let mut joined = Box::pin(cache.get_or_fetch(key("a"), &anew, at(70), |_| ready(document("never", "max-age=60", at(70)))));
    assert!(joined.as_mut().now_or_never().is_none());
    land.send(document("two", "max-age=60", at(70))).expect("somebody waits");
    assert_eq!(renewal.await, Refreshed::Replaced);
    assert_eq!(joined.await.expect("answers").body, "two");
}

#[tokio::test]
async fn only_if_cached_fetches_nothing_and_a_lonely_304_is_an_error() {
    let cache = cache().await;
    assert!(stored(&cache, "a", at(0)).await.is_none());
    let confirm = Fetched::NotModified(freshness(304, "max-age=60", at(0)));
    let lonely = ask(&cache, "a", at(0), confirm).await.expect_err("it confirms nothing");
    assert_eq!(lonely.status().to_string(), "eventmesh; fwd=miss; fwd-status=304");
    let both = Directives { no_store: true, only_if_cached: true, ..Directives::default() };
    let unfetched = |_| -> Ready<Fetched<String>> { panic!("nothing is to be fetched") };
    let unanswered = cache.get_or_fetch(key("a"), &both, at(0), unfetched).await.expect_err("nothing may be stored or asked");
    assert_eq!(unanswered.status().to_string(), "eventmesh; detail=only-if-cached");
    let bypass = Directives { no_store: true, ..Directives::default() };
    let failed = cache.get_or_fetch(key("a"), &bypass, at(0), |_| ready(failed(Failure::Missing))).await.expect_err("it failed");
    assert_eq!(failed.status().to_string(), "eventmesh; fwd=bypass");
}

#[tokio::test]
async fn a_304_that_forbids_to_store_answers_once_and_removes() {
    let cache = cache().await;
    ask(&cache, "a", at(0), document("one", "max-age=60", at(0))).await.expect("answers");
    let confirm = Fetched::NotModified(freshness(304, "no-store", at(60)));
    assert_eq!(ask(&cache, "a", at(60), confirm).await.expect("answers").body, "one");
    assert!(ask(&cache, "a", at(61), failed(Failure::Late)).await.is_err(), "it is still stored");
}

#[tokio::test]
async fn the_disk_answers_after_a_restart() {
    let directory = TempDir::new().expect("a directory");
    let disk = DiskConfig { directory: directory.path().to_owned(), capacity: 1 << 20, packing: Packing::Deflate };
    let config = CacheConfig { store: StoreConfig { disk: Some(disk), ..StoreConfig::default() }, refreshes: 1 };
    let cache = Cache::<String>::open(config.clone()).await.expect("opens");
    ask(&cache, "a", at(0), document("one", "max-age=60", at(0))).await.expect("answers");
    cache.flush().await;
    drop(cache);
    let cache = Cache::open(config).await.expect("opens again");
    let answer = stored(&cache, "a", at(1)).await.expect("is stored");
    assert_eq!((answer.body.clone(), answer.status.to_string()), ("one".into(), "eventmesh; hit; ttl=59; detail=disk".into()));
    assert_eq!(stored(&cache, "a", at(1)).await.expect("is stored").status.detail, Some(Detail::Memory));
    cache.forget(key("a")).await;
    assert!(stored(&cache, "a", at(1)).await.is_none());
    assert_eq!(cache.counts().requests(Tier::Disk, Outcome::Hit), 1);
}

#[derive(Clone, Debug)]
struct Request {
    path: u8,
    after: u64,
    directives: Directives,
    /// What the source answers, if it is asked.
    control: &'static str,
    failure: Option<Failure>,
}

fn any_request() -> impl Strategy<Value = Request> {
    let seconds = || proptest::option::weighted(0.2, (0_u64..100).prop_map(Duration::from_secs));
    let directives = (seconds(), seconds(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.1));
    let control = prop_oneof![
        Just("max-age=50"),
        Just("max-age=20, stale-while-revalidate=30, stale-if-error=60"),
        Just("no-store"),
        Just("private"),
        Just("no-cache"),
        Just("max-age=10, must-revalidate"),
    ];
    let failure = proptest::option::weighted(0.3, proptest::sample::select(Failure::ALL.to_vec()));
    (0_u8..3, 0_u64..60, directives, control, failure).prop_map(|(path, after, directives, control, failure)| {
        let (max_age, max_stale, no_store, only_if_cached) = directives;
        let directives = Directives { max_age, max_stale, no_store, only_if_cached };
        Request { path, after, directives, control, failure }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_request_gets_what_it_must_not(requests in proptest::collection::vec(any_request(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
            let cache = cache().await;
            let mut now = at(0);
            let mut forbidden: Vec<Bytes> = Vec::new();
            for (number, request) in requests.into_iter().enumerate() {
                now = now + Duration::from_secs(request.after);
                let path = request.path.to_string();
                let body = Bytes::from(number.to_string());
                let fetched = AtomicUsize::new(0);
                let fetch = |validators: Option<Validators>| {
                    fetched.fetch_add(1, Ordering::Relaxed);
                    let fetched = match request.failure {
                        Some(failure) => failed(failure),
                        None => Fetched::Document { body: body.clone(), freshness: freshness(200, request.control, now) },
                    };
                    (if request.directives.no_store { assert!(validators.is_none()) }, ready(fetched)).1
                };
                let before = cache.counts();
                let answer = cache.get_or_fetch(key(&path), &request.directives, now, fetch).await;
                let asked = fetched.load(Ordering::Relaxed) > 0;
                prop_assert!(!asked || !request.directives.only_if_cached, "a fetch that was not wanted");
                if request.directives.no_store {
                    let after = cache.counts();
                    prop_assert_eq!((before.memory_entries, before.memory_bytes), (after.memory_entries, after.memory_bytes));
                    prop_assert!(asked || request.directives.only_if_cached);
                    forbidden.push(body.clone());
                }
                if let Ok(answer) = &answer {
                    let own = answer.body == body;
                    prop_assert_eq!(own, asked && request.failure.is_none(), "an answer that is not what was fetched");
                    prop_assert!(own || !forbidden.contains(&answer.body), "an answer that was not to be stored");
                    if !own && now >= answer.freshness.fresh_until {
                        let taken = request.directives.max_stale.is_some() && !answer.freshness.must_revalidate;
                        let renewed = now < answer.freshness.stale_while_revalidate_until;
                        let stands_in = asked && now < answer.freshness.stale_if_error_until;
                        prop_assert!(taken || renewed || stands_in, "a stale answer without leave");
                    }
                }
                if matches!(request.control, "no-store" | "private") {
                    forbidden.push(body);
                }
            }
            Ok(())
        })?;
    }
}
