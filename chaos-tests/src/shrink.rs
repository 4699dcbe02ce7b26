//! Cutting a failing plan down: fewer faults that still break the same promise (delta debugging).

use crate::plan::{Fault, FaultPlan};

/// Drops faults from `plan` as long as `fails` still says that it fails, in ever smaller pieces; at most `tries` runs.
/// The result fails, too, and if there were tries enough, no single fault can be dropped from it.
pub fn shrink(plan: &FaultPlan, mut tries: usize, mut fails: impl FnMut(&FaultPlan) -> bool) -> FaultPlan {
    let mut faults: Vec<Fault> = plan.faults.clone();
    let mut pieces = 2;
    while faults.len() > 1 && tries > 0 {
        let size = faults.len().div_ceil(pieces);
        let mut cut = false;
        let mut start = 0;
        while start < faults.len() && tries > 0 {
            let end = (start + size).min(faults.len());
            let without: Vec<Fault> = faults[..start].iter().chain(&faults[end..]).copied().collect();
            let candidate = FaultPlan { faults: without };
            tries -= 1;
            if fails(&candidate) {
                faults = candidate.faults;
                cut = true;
            } else {
                start = end;
            }
        }
        if !cut {
            if size == 1 {
                break;
            }
            pieces = (pieces * 2).min(faults.len());
        }
    }
    FaultPlan { faults }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FaultKind;

    #[test]
    fn only_what_it_takes_is_left() {
        let fault = |at_ms| Fault { at_ms, for_ms: 0, kind: FaultKind::Panic, target: 0 };
        let plan = FaultPlan { faults: (0..100).map(fault).collect() };
        let both = |plan: &FaultPlan| [17, 71].iter().all(|needed| plan.faults.iter().any(|fault| fault.at_ms == *needed));
        let mut runs = 0;
        let shrunk = shrink(&plan, 1000, |plan| {
            runs += 1;
            both(plan)
        });
        assert_eq!(shrunk.faults.iter().map(|fault| fault.at_ms).collect::<Vec<_>>(), [17, 71]);
        assert!(runs < 100, "{runs} runs");
        assert!(both(&shrink(&plan, 3, both)), "with few tries it fails still");
    }
}
