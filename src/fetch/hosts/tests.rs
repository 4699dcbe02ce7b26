//! Manners, by the table.

use super::*;

const LIMITS: HostLimits = HostLimits {
    per_host: 2,
    per_own_host: 5,
    per_second: 10.0,
    burst: 3,
    own: false,
    waiting: 4,
    pause: Duration::from_secs(60),
    crawl_delay: Duration::from_secs(2),
    failures: 2,
    window: Duration::from_secs(10),
    open: Duration::from_secs(5),
    longest_open: Duration::from_secs(20),
    hosts: 16,
};

fn at(millis: u64) -> Duration {
    Duration::from_millis(1_000_000 + millis)
}

/// One host, and those who come to it.
struct Case {
    hosts: Hosts<()>,
    host: Arc<str>,
    deadline: Duration,
}

impl Case {
    fn new(limits: HostLimits) -> Self {
        Self { hosts: Hosts::new(limits), host: "example.com:80".into(), deadline: at(30_000) }
    }

    fn ask(&mut self, ticket: &mut Option<Ticket>, millis: u64) -> Verdict {
        self.hosts.ask(&self.host, ticket, at(millis), self.deadline)
    }

    /// Comes and goes at once.
    fn visit(&mut self, millis: u64, outcome: Outcome) -> Verdict {
        let mut ticket = None;
        let verdict = self.ask(&mut ticket, millis);
        if verdict == Verdict::Go {
            self.hosts.leave(&self.host, outcome, at(millis));
        }
        if let Some(ticket) = ticket {
            self.hosts.cancel(&self.host, ticket);
        }
        verdict
    }
}

#[test]
fn so_many_at_once_and_the_next_in_the_order_in_which_they_came() {
    let mut case = Case::new(LIMITS);
    let mut tickets = [None; 5];
    let said: Vec<_> = (0..5).map(|index| case.ask(&mut tickets[index], 0)).collect();
    assert_eq!(said, [Verdict::Go, Verdict::Go, Verdict::Wait(None), Verdict::Wait(None), Verdict::Wait(None)]);
    case.hosts.leave("example.com:80", Outcome::Well, at(1_000));
    // Who comes later does not overtake.
    assert_eq!(case.ask(&mut tickets[3], 1_000), Verdict::Wait(None));
    assert_eq!(case.ask(&mut tickets[2], 1_000), Verdict::Go);
    assert_eq!(case.ask(&mut tickets[3], 1_000), Verdict::Wait(None));
    // Whoever goes away makes room for those behind.
    case.hosts.cancel("example.com:80", tickets[3].expect("it waits"));
    case.hosts.leave("example.com:80", Outcome::Well, at(2_000));
    assert_eq!(case.ask(&mut tickets[4], 2_000), Verdict::Go);
}

#[test]
fn a_burst_and_then_the_rate() {
    let mut case = Case::new(LIMITS);
    let said: Vec<_> = [0, 0, 0, 0, 99, 100, 150, 200].map(|millis| case.visit(millis, Outcome::Well)).into();
    let wait = |millis| Verdict::Wait(Some(at(millis)));
    assert_eq!(said, [Verdict::Go, Verdict::Go, Verdict::Go, wait(100), wait(100), Verdict::Go, wait(200), Verdict::Go]);
    // A long rest does not save up more than the burst.
    let after = [10_000; 5].map(|millis| case.visit(millis, Outcome::Well));
    assert_eq!(after, [Verdict::Go, Verdict::Go, Verdict::Go, wait(10_100), wait(10_100)]);
}

#[test]
fn the_operators_own_hosts_may_be_asked_for_more() {
    let mut busy = Case::new(LIMITS);
    busy.visit(0, Outcome::Well);
    busy.hosts.owned("example.com:80", true);
    let said: Vec<_> = (0..6).map(|_| busy.ask(&mut None, 0)).collect();
    assert!(said[..5].iter().all(|verdict| *verdict == Verdict::Go) && said[5] == Verdict::Wait(None), "{said:?}");
    let mut case = Case::new(LIMITS);
    case.visit(0, Outcome::Well);
    case.hosts.owned("example.com:80", true);
    assert!((0..100).all(|_| case.visit(0, Outcome::Well) == Verdict::Go));
    let mut held = Case::new(HostLimits { own: true, ..LIMITS });
    held.visit(0, Outcome::Well);
    held.hosts.owned("example.com:80", true);
    assert_eq!((0..100).filter(|_| held.visit(0, Outcome::Well) == Verdict::Go).count(), 2);
}

#[test]
fn nobody_waits_for_whom_it_would_be_too_late() {
    let mut case = Case::new(HostLimits { waiting: 3, per_host: 1, ..LIMITS });
    let mut tickets = [None; 5];
    let said: Vec<_> = (0..5).map(|index| case.ask(&mut tickets[index], 0)).collect();
    assert_eq!(said[..4], [Verdict::Go, Verdict::Wait(None), Verdict::Wait(None), Verdict::Wait(None)]);
    assert!(matches!(said[4], Verdict::Refuse(Refusal::Crowded(_))), "{:?}", said[4]);
    assert_eq!(tickets[4], None, "it stands in no queue");
    // The rate would let the fourth go at 100 ms.
    let mut case = Case::new(LIMITS);
    case.deadline = at(50);
    assert!((0..3).all(|_| case.visit(0, Outcome::Well) == Verdict::Go));
    assert!(matches!(case.visit(0, Outcome::Well), Verdict::Refuse(Refusal::Crowded(_))));
    // Whoever has waited until the end is sent away.
    assert!(matches!(case.visit(50, Outcome::Well), Verdict::Refuse(Refusal::Crowded(_))));
}

#[test]
fn a_host_is_left_alone_for_as_long_as_it_asks_and_no_longer_than_may_be() {
    for (asked, deadline, expected) in [
        (10, 30_000, Verdict::Wait(Some(at(10_000)))),
        (40, 30_000, Verdict::Refuse(Refusal::Paused(Duration::from_secs(40)))),
        (1_000_000, 30_000, Verdict::Refuse(Refusal::Paused(Duration::from_secs(60)))),
        (0, 30_000, Verdict::Go),
    ] {
        let mut case = Case::new(LIMITS);
        case.visit(0, Outcome::Well);
        case.deadline = at(deadline);
        case.hosts.pause("example.com:80", Duration::from_secs(asked), at(0));
        assert_eq!(case.visit(0, Outcome::Well), expected, "{asked} s");
    }
}

#[test]
fn a_shorter_wish_does_not_end_a_longer_pause() {
    let mut case = Case::new(LIMITS);
    case.visit(0, Outcome::Well);
    case.hosts.pause("example.com:80", Duration::from_secs(10), at(0));
    case.hosts.pause("example.com:80", Duration::from_secs(1), at(0));
    assert_eq!(case.visit(5_000, Outcome::Well), Verdict::Wait(Some(at(10_000))));
    assert_eq!(case.visit(10_000, Outcome::Well), Verdict::Go);
}

#[test]
fn a_delay_of_its_own_is_kept_up_to_a_limit() {
    for (asked, next) in [(1_000, 1_000), (50_000, 2_000)] {
        let mut case = Case::new(LIMITS);
        case.visit(0, Outcome::Well);
        case.hosts.space("example.com:80", Duration::from_millis(asked));
        assert_eq!(case.visit(200, Outcome::Well), Verdict::Go);
        assert_eq!(case.visit(300, Outcome::Well), Verdict::Wait(Some(at(200 + next))));
        // Own or not: it is the host's own wish.
        case.hosts.owned("example.com:80", true);
        assert_eq!(case.visit(300, Outcome::Well), Verdict::Wait(Some(at(200 + next))));
    }
}

#[test]
fn a_broken_host_is_tried_by_one_alone() {
    let mut case = Case::new(LIMITS);
    for _ in 0..2 {
        assert_eq!(case.visit(0, Outcome::Badly), Verdict::Go);
    }
    assert_eq!(case.visit(1_000, Outcome::Well), Verdict::Refuse(Refusal::Broken(Duration::from_secs(4))));
    assert_eq!([1_000, 4_999, 5_000].map(|millis| case.hosts.broken(at(millis))), [1, 1, 0], "until its time is up");
    let (mut probe, mut other) = (None, None);
    assert_eq!(case.ask(&mut probe, 5_000), Verdict::Go);
    assert_eq!(case.ask(&mut other, 5_000), Verdict::Wait(None), "although two may at once");
    assert_eq!(case.hosts.broken(at(5_000)), 1, "it is being tried");
    assert!(case.hosts.leave("example.com:80", Outcome::Badly, at(5_000)));
    assert_eq!(case.ask(&mut other, 5_000), Verdict::Refuse(Refusal::Broken(Duration::from_secs(10))));
    assert_eq!(case.visit(15_000, Outcome::Well), Verdict::Go);
    assert_eq!(case.visit(15_000, Outcome::Well), Verdict::Go);
    assert_eq!(case.hosts.broken(at(15_000)), 0);
}

#[test]
fn those_that_nobody_asks_are_forgotten_first() {
    let mut hosts = Hosts::<()>::new(LIMITS);
    let name = |index: u64| -> Arc<str> { format!("{index}.example.com:80").into() };
    let visit = |hosts: &mut Hosts<()>, index: u64, outcome| {
        let verdict = hosts.ask(&name(index), &mut None, at(index), at(100_000));
        hosts.leave(&name(index), outcome, at(index));
        verdict
    };
    // The first is being asked, the second is broken, the third asks to be left alone.
    assert_eq!(hosts.ask(&name(0), &mut None, at(0), at(100_000)), Verdict::Go);
    for _ in 0..2 {
        visit(&mut hosts, 1, Outcome::Badly);
    }
    visit(&mut hosts, 2, Outcome::Well);
    hosts.pause(&name(2), Duration::from_secs(60), at(2));
    for index in 3..1_000 {
        assert_eq!(visit(&mut hosts, index, Outcome::Well), Verdict::Go);
        assert!(hosts.len() <= 16);
    }
    for kept in 0..3 {
        assert!(hosts.bell(&name(kept)).is_some(), "{kept}");
    }
    assert!(hosts.bell(&name(3)).is_none());
    // Where all are being asked there is no room.
    let mut full = Hosts::<()>::new(LIMITS);
    assert!((0..16).all(|index| full.ask(&name(index), &mut None, at(0), at(1_000)) == Verdict::Go));
    assert!(matches!(full.ask(&name(16), &mut None, at(0), at(1_000)), Verdict::Refuse(Refusal::Crowded(_))));
}

#[test]
fn limits_that_make_no_sense_are_told() {
    assert!(HostLimits::default().problems().is_empty());
    let bad = HostLimits { per_host: 0, per_second: f64::NAN, burst: 0, waiting: 0, failures: 0, hosts: 0, ..LIMITS };
    assert_eq!(bad.problems().len(), 6);
}
