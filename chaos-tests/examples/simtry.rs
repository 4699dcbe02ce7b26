//! try
fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let mut bad = 0; let mut ev = 0; let mut gave = 0;
    for seed in 0..n {
        let out = eventmesh_chaos::sim::SimRun::of_seed(seed).run();
        ev += out.events; gave += out.gave_up as u64;
        if !out.holds() {
            bad += 1;
            if bad <= 5 { println!("seed {seed}"); for v in out.verdicts { if v.violations > 0 { println!("  {} {} {:?}\n   {}", v.id, v.violations, v.first, v.context.iter().rev().take(12).rev().cloned().collect::<Vec<_>>().join("\n   ")); } } }
        }
    }
    println!("bad {bad} events {ev} gave up {gave}");
}
