//! OTP's rules under made-up time: a world that carries effects out at once, and tables of what comes of it.

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

use super::*;
use crate::exit::Cause;
use crate::restart::{BackoffSpec, RestartPolicy};

fn at(millis: u64) -> Moment {
    Moment::at(Duration::from_millis(millis))
}

fn policy(strategy: Strategy) -> SupervisorPolicy {
    SupervisorPolicy {
        strategy,
        restarts: RestartPolicy::any(3, Duration::from_secs(1)),
        backoff: BackoffSpec {
            base: Duration::from_millis(10),
            cap: Duration::from_millis(100),
            reset_after: Duration::from_secs(60),
        },
        auto_shutdown: AutoShutdown::Never,
        max_children: 8,
        seed: 0,
    }
}

fn child(restart: Restart) -> ChildPolicy {
    ChildPolicy { restart, ..ChildPolicy::default() }
}

/// Children that do as they are told, and a list of what they were told, by name: `+a` start, `-a` stop, `!a` kill.
struct World {
    core: SupervisorCore,
    now: u64,
    told: Vec<String>,
    finished: Option<Exit>,
    /// Effects not carried out yet.
    pending: VecDeque<Effect>,
    /// Names of children whose starts fail, whose stops are ignored, who cannot be killed.
    unstartable: Vec<&'static str>,
    unstoppable: Vec<&'static str>,
    unkillable: Vec<&'static str>,
    names: BTreeMap<u32, String>,
}

impl World {
    fn new(policy: SupervisorPolicy, children: &[(&'static str, ChildPolicy)]) -> Self {
        let mut core = SupervisorCore::new("test", policy);
        let mut names = BTreeMap::new();
        for (name, policy) in children {
            let (number, _) = core.add(at(0), name, *policy).expect("sound");
            names.insert(number, (*name).to_owned());
        }
        let mut world = Self {
            core,
            now: 0,
            told: Vec::new(),
            finished: None,
            pending: VecDeque::new(),
            unstartable: Vec::new(),
            unstoppable: Vec::new(),
            unkillable: Vec::new(),
            names,
        };
        let effects = world.core.start(at(0));
        world.carry_out(effects);
        world
    }

    fn permanent(strategy: Strategy) -> Self {
        let permanent = child(Restart::Permanent);
        let mut world = Self::new(policy(strategy), &[("a", permanent), ("b", permanent), ("c", permanent)]);
        assert_eq!(world.take(), "+a +b +c");
        world
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        self.pending.extend(effects);
        while let Some(effect) = self.pending.pop_front() {
            let more = match effect {
                Effect::Start { key, .. } => {
                    let name = self.names[&key.child].clone();
                    self.told.push(format!("+{name}"));
                    if self.unstartable.contains(&name.as_str()) {
                        self.core.ended(at(self.now), key, Exit::StartFailed("no".into()))
                    } else {
                        self.core.started(at(self.now), key)
                    }
                }
                Effect::Stop { key, .. } => {
                    let name = self.names[&key.child].clone();
                    self.told.push(format!("-{name}"));
                    if self.unstoppable.contains(&name.as_str()) {
                        self.core.overdue(at(self.now), key)
                    } else {
                        self.core.ended(at(self.now), key, Exit::Killed)
                    }
                }
                Effect::Kill { key } => {
                    let name = self.names[&key.child].clone();
                    self.told.push(format!("!{name}"));
                    if self.unkillable.contains(&name.as_str()) {
                        self.core.left_behind(at(self.now), key)
                    } else {
                        self.core.ended(at(self.now), key, Exit::Killed)
                    }
                }
                Effect::Finish(exit) => {
                    assert!(self.finished.is_none(), "it ends once");
                    self.finished = Some(exit);
                    Vec::new()
                }
                Effect::Forget { .. } | Effect::Tell(_) | Effect::Up => Vec::new(),
            };
            self.pending.extend(more);
        }
    }

    fn end(&mut self, name: &str, exit: Exit) {
        self.now += 1;
        let view = self.core.view(at(self.now));
        let child = view.iter().find(|child| &*child.name == name).expect("known");
        let key = NodeKey { child: child.number, generation: child.generation };
        let effects = self.core.ended(at(self.now), key, exit);
        self.carry_out(effects);
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.told).join(" ")
    }

    fn running(&self) -> String {
        let view = self.core.view(at(self.now));
        view.iter().filter(|child| child.state == "running").map(|child| &*child.name).collect()
    }
}

#[test]
fn each_strategy_restarts_whom_it_should_in_the_right_order() {
    let table = [(Strategy::OneForOne, "+b"), (Strategy::OneForAll, "-c -a +a +b +c"), (Strategy::RestForOne, "-c +b +c")];
    for (strategy, expected) in table {
        let mut world = World::permanent(strategy);
        world.end("b", Exit::Panicked("x".into()));
        assert_eq!(world.take(), expected, "{strategy:?}");
        assert_eq!(world.running(), "abc", "{strategy:?}");
    }
}

#[test]
fn children_stop_right_to_left_and_one_that_will_not_is_killed() {
    let mut world = World::permanent(Strategy::OneForOne);
    world.unstoppable.push("b");
    let effects = world.core.stop(at(1), Duration::from_secs(1));
    world.carry_out(effects);
    assert_eq!(world.take(), "-c -b !b -a");
    assert_eq!(world.finished, Some(Exit::Shutdown));
}

#[test]
fn a_child_that_cannot_even_be_killed_is_left_behind() {
    let mut world = World::permanent(Strategy::OneForOne);
    world.unstoppable.push("c");
    world.unkillable.push("c");
    let effects = world.core.stop(at(1), Duration::from_secs(1));
    world.carry_out(effects);
    assert_eq!(world.take(), "-c !c -b -a");
    assert_eq!(world.finished, Some(Exit::Shutdown));
}

#[test]
fn a_brutal_child_is_not_asked() {
    let brutal = ChildPolicy { shutdown: Shutdown::Brutal, ..ChildPolicy::default() };
    let mut world = World::new(policy(Strategy::OneForOne), &[("a", brutal)]);
    let effects = world.core.stop(at(1), Duration::from_secs(1));
    world.carry_out(effects);
    assert_eq!(world.take(), "+a !a");
}

/// (restart, how it ends, comes back, is still known)
#[test]
fn each_kind_of_child_comes_back_when_it_should() {
    use Restart::{Permanent, Temporary, Transient};
    let panicked = || Exit::Panicked("x".into());
    let table = [
        (Permanent, Exit::Finished, true, true),
        (Permanent, panicked(), true, true),
        (Transient, Exit::Finished, false, true),
        (Transient, panicked(), true, true),
        (Transient, Exit::Killed, true, true),
        (Transient, Exit::Escalated("x".into()), true, true),
        (Temporary, Exit::Finished, false, false),
        (Temporary, panicked(), false, false),
    ];
    for (restart, exit, back, known) in table {
        let mut world = World::new(policy(Strategy::OneForOne), &[("a", child(restart))]);
        world.take();
        world.end("a", exit.clone());
        assert_eq!(world.take(), if back { "+a" } else { "" }, "{restart:?} after {exit}");
        assert_eq!(!world.core.view(at(1)).is_empty(), known, "{restart:?} after {exit}");
        assert_eq!(world.finished, None);
    }
}

#[test]
fn too_many_restarts_stop_all_and_fail() {
    let mut world = World::permanent(Strategy::OneForOne);
    for _ in 0..3 {
        world.end("b", Exit::Killed);
    }
    assert_eq!(world.take(), "+b +b +b");
    world.end("b", Exit::Killed);
    assert_eq!(world.take(), "-c -a");
    assert_eq!(world.finished, Some(Exit::Escalated("b: killed".into())));
}

#[test]
fn one_cause_can_be_too_much_while_others_are_not() {
    let restarts = RestartPolicy::any(9, Duration::from_secs(1)).cause(Cause::Hung, 0, Duration::from_secs(1));
    let policy = SupervisorPolicy { restarts, ..policy(Strategy::OneForOne) };
    let mut world = World::new(policy, &[("a", child(Restart::Permanent))]);
    world.end("a", Exit::Killed);
    assert_eq!(world.finished, None);
    world.end("a", Exit::Hung);
    assert!(world.finished.is_some());
}

#[test]
fn a_start_that_fails_at_first_fails_the_supervisor() {
    let mut core = SupervisorCore::new("test", policy(Strategy::OneForOne));
    for name in ["a", "b", "c"] {
        core.add(at(0), name, child(Restart::Permanent)).expect("sound");
    }
    core.start(at(0));
    core.started(at(0), NodeKey { child: 0, generation: 1 });
    let effects = core.ended(at(1), NodeKey { child: 1, generation: 1 }, Exit::StartFailed("no".into()));
    assert!(matches!(effects.last(), Some(Effect::Stop { key: NodeKey { child: 0, .. }, .. })), "{effects:?}");
    let effects = core.ended(at(2), NodeKey { child: 0, generation: 1 }, Exit::Killed);
    assert_eq!(effects.last(), Some(&Effect::Finish(Exit::StartFailed("b: start failed: no".into()))));
}

#[test]
fn a_restart_that_fails_is_tried_again_and_stalls_nobody() {
    let mut core = SupervisorCore::new("test", policy(Strategy::OneForOne));
    for name in ["a", "b"] {
        core.add(at(0), name, child(Restart::Permanent)).expect("sound");
    }
    core.start(at(0));
    let key = |child, generation| NodeKey { child, generation };
    core.started(at(0), key(0, 1));
    core.started(at(0), key(1, 1));
    core.ended(at(1), key(0, 1), Exit::Killed);
    // The sibling fails and is back while the first one is still trying.
    let effects = core.ended(at(2), key(0, 2), Exit::StartFailed("no".into()));
    let waits =
        |effect: &Effect| matches!(effect, Effect::Start { key: NodeKey { child: 0, generation: 3 }, delay } if !delay.is_zero());
    assert!(effects.iter().any(waits), "{effects:?}");
    assert_eq!(core.view(at(2))[0].state, "backoff");
    core.ended(at(3), key(1, 1), Exit::Killed);
    core.started(at(3), key(1, 2));
    assert_eq!(core.view(at(3))[1].state, "running");
}

#[test]
fn significant_children_end_their_supervisor_as_a_plan() {
    let significant = ChildPolicy { significant: true, ..child(Restart::Transient) };
    let plain = child(Restart::Permanent);
    for (auto_shutdown, ends_after) in [(AutoShutdown::AnySignificant, 1), (AutoShutdown::AllSignificant, 2)] {
        let policy = SupervisorPolicy { auto_shutdown, ..policy(Strategy::OneForOne) };
        let mut world = World::new(policy, &[("a", significant), ("b", significant), ("c", plain)]);
        world.end("a", Exit::Killed);
        assert_eq!(world.finished, None, "it was restarted");
        for (count, name) in (1..).zip(["a", "b"]) {
            if world.finished.is_none() {
                world.end(name, Exit::Finished);
            }
            assert_eq!(world.finished.is_some(), count >= ends_after, "{auto_shutdown:?} after {count}");
        }
        assert_eq!(world.finished, Some(Exit::Finished));
        assert_eq!(world.running(), "");
    }
    let mut core = SupervisorCore::new("test", policy(Strategy::OneForOne));
    assert!(matches!(core.add(at(0), "a", significant), Err(ChildError::Unsound { .. })), "auto_shutdown is never");
    let permanent = ChildPolicy { significant: true, ..plain };
    assert!(matches!(core.add(at(0), "a", permanent), Err(ChildError::Unsound { .. })));
}

#[test]
fn children_come_and_go_while_it_runs() {
    let mut world = World::permanent(Strategy::RestForOne);
    let (number, effects) = world.core.add(at(1), "d", child(Restart::Permanent)).expect("sound");
    world.names.insert(number, "d".into());
    world.carry_out(effects);
    assert!(matches!(world.core.add(at(1), "d", child(Restart::Permanent)), Err(ChildError::NameTaken { .. })));
    assert!(matches!(world.core.delete("d"), Err(ChildError::WrongState { state: "running", .. })));
    let effects = world.core.terminate(at(2), "d").expect("known");
    world.carry_out(effects);
    assert_eq!((world.take().as_str(), world.running().as_str()), ("+d -d", "abc"));
    world.end("a", Exit::Killed);
    assert_eq!(world.take(), "-c -b +a +b +c", "what was terminated stays down");
    let effects = world.core.restart_child(at(3), "d").expect("down");
    world.carry_out(effects);
    let effects = world.core.terminate(at(4), "d").expect("known");
    world.carry_out(effects);
    world.core.delete("d").expect("down");
    assert!(matches!(world.core.restart_child(at(5), "d"), Err(ChildError::Unknown { .. })));
    for name in ["e", "f", "g", "h", "i"] {
        world.core.add(at(6), name, child(Restart::Temporary)).expect("room");
    }
    assert!(matches!(world.core.add(at(6), "j", child(Restart::Temporary)), Err(ChildError::Full { max_children: 8, .. })));
}

#[test]
fn a_failure_in_the_middle_of_a_regrouping_starts_over_and_forgets_nobody() {
    let mut core = SupervisorCore::new("test", policy(Strategy::RestForOne));
    for name in ["a", "b", "c"] {
        core.add(at(0), name, child(Restart::Permanent)).expect("sound");
    }
    let key = |child, generation| NodeKey { child, generation };
    core.start(at(0));
    for child in 0..3 {
        core.started(at(0), key(child, 1));
    }
    // b fails; c is stopped; b comes back, and a fails before c has.
    core.ended(at(1), key(1, 1), Exit::Killed);
    core.ended(at(2), key(2, 1), Exit::Killed);
    core.started(at(3), key(1, 2));
    let effects = core.ended(at(4), key(0, 1), Exit::Killed);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Kill { key: NodeKey { child: 2, generation: 2 } })));
    core.ended(at(5), key(2, 2), Exit::Killed);
    core.ended(at(6), key(1, 2), Exit::Killed);
    for child in 0..3u32 {
        let generation = core.view(at(7))[child as usize].generation;
        core.started(at(7), key(child, generation));
    }
    assert!(core.view(at(8)).iter().all(|child| child.state == "running"), "{:?}", core.view(at(8)));
}

#[derive(Clone, Debug)]
enum Happening {
    Up(usize),
    NotUp(usize),
    End(usize, u8),
    Overdue,
    Terminate(usize),
    Revive(usize),
    Wait(u64),
}

fn happening() -> impl proptest::strategy::Strategy<Value = Happening> {
    prop_oneof![
        4 => any::<usize>().prop_map(Happening::Up),
        1 => any::<usize>().prop_map(Happening::NotUp),
        2 => (any::<usize>(), 0u8..4).prop_map(|(pick, how)| Happening::End(pick, how)),
        1 => Just(Happening::Overdue),
        1 => any::<usize>().prop_map(Happening::Terminate),
        1 => any::<usize>().prop_map(Happening::Revive),
        2 => (0u64..400).prop_map(Happening::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: restarts stay within the intensity, a life is started at most once, the
    /// supervisor ends once and with no child left, and one that runs and is left in peace has all its children up.
    #[test]
    fn a_supervisor_keeps_its_promises_whatever_happens(
        steps in prop::collection::vec(happening(), 1..120), which in 0usize..3, size in 1usize..5, stops: bool,
    ) {
        let strategy = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne][which];
        let mut core = SupervisorCore::new("test", policy(strategy));
        for name in ["a", "b", "c", "d"].into_iter().take(size) {
            core.add(at(0), name, child(Restart::Permanent)).expect("sound");
        }
        let mut now = 0;
        let (mut starting, mut alive, mut asked): (Vec<NodeKey>, Vec<NodeKey>, Vec<NodeKey>) = Default::default();
        let (mut seen, mut restarts, mut finished) = (std::collections::BTreeSet::new(), Vec::new(), false);
        let mut terminated = std::collections::BTreeSet::new();
        let mut pending: VecDeque<Effect> = core.start(at(0)).into();
        let quiet = (0..200).map(|_| Happening::Up(0));
        for step in steps.into_iter().chain(quiet) {
            while let Some(effect) = pending.pop_front() {
                match effect {
                    Effect::Start { key, .. } => {
                        prop_assert!(seen.insert(key), "a life is started once");
                        starting.push(key);
                    }
                    Effect::Stop { key, .. } => asked.push(key),
                    Effect::Kill { key } => {
                        starting.retain(|other| *other != key);
                        alive.retain(|other| *other != key);
                        asked.retain(|other| *other != key);
                        pending.extend(core.ended(at(now), key, Exit::Killed));
                    }
                    Effect::Tell(Event::NodeRestarting { .. }) => {
                        restarts.push(now);
                        let window = restarts.iter().filter(|then| now - **then < 1000).count();
                        prop_assert!(window <= 3, "restarts within the intensity");
                    }
                    Effect::Finish(_) => {
                        prop_assert!(!finished && alive.is_empty() && starting.is_empty(), "it ends once, alone");
                        finished = true;
                    }
                    Effect::Tell(_) | Effect::Forget { .. } | Effect::Up => {}
                }
            }
            match step {
                Happening::Up(pick) if !starting.is_empty() => {
                    let key = starting.remove(pick % starting.len());
                    alive.push(key);
                    pending.extend(core.started(at(now), key));
                }
                // Nobody starts any more: those that were asked to stop do.
                Happening::Up(_) | Happening::Overdue if !asked.is_empty() => {
                    let key = asked.remove(0);
                    alive.retain(|other| *other != key);
                    pending.extend(core.ended(at(now), key, Exit::Killed));
                }
                Happening::NotUp(pick) if !starting.is_empty() => {
                    let key = starting.remove(pick % starting.len());
                    pending.extend(core.ended(at(now), key, Exit::StartFailed("no".into())));
                }
                Happening::End(pick, how) if !alive.is_empty() => {
                    let key = alive.remove(pick % alive.len());
                    asked.retain(|other| *other != key);
                    let exit = [Exit::Killed, Exit::Finished, Exit::Panicked("x".into()), Exit::Hung][usize::from(how)].clone();
                    pending.extend(core.ended(at(now), key, exit));
                }
                Happening::Terminate(pick) => {
                    let name = ["a", "b", "c", "d"][pick % size];
                    pending.extend(core.terminate(at(now), name).expect("known"));
                    terminated.insert(name);
                }
                Happening::Revive(pick) => {
                    let name = ["a", "b", "c", "d"][pick % size];
                    if let Ok(effects) = core.restart_child(at(now), name) {
                        pending.extend(effects);
                        terminated.remove(name);
                    }
                }
                Happening::Wait(millis) => now += millis,
                Happening::Up(_) | Happening::NotUp(_) | Happening::End(..) | Happening::Overdue => {}
            }
        }
        if !finished {
            let as_it_should = |child: &NodeView| (child.state == "down") == terminated.contains(&*child.name)
                && matches!(child.state, "down" | "running");
            prop_assert!(core.view(at(now)).iter().all(as_it_should), "{:?} {:?}", terminated, core.view(at(now)));
        }
        if stops && !finished {
            pending.extend(core.stop(at(now), Duration::from_secs(1)));
            let mut order = Vec::new();
            while let Some(effect) = pending.pop_front() {
                if let Effect::Stop { key, .. } | Effect::Kill { key } = effect {
                    order.push(key.child);
                    pending.extend(core.ended(at(now), key, Exit::Killed));
                }
            }
            prop_assert!(order.windows(2).all(|pair| pair[0] > pair[1]), "right to left: {:?}", order);
            prop_assert_eq!(order.len(), size - terminated.len());
        }
    }
}
