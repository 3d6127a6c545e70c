//! Random schedules with crashes, freezes, new members and a network that loses and delays:
//! nobody ever proves to own what another one owns, and when calm returns, all is shared out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use streams_core::time::Instant;
use streams_test::embedded::{Fault, FaultPlan, Operation};

use crate::harness::{Harness, SESSION};

/// A small generator of its own, so that a seed is a whole run.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.below(below))
    }
}

struct BadNetwork {
    random: Mutex<Random>,
    one_in: u64,
}

impl FaultPlan for BadNetwork {
    fn decide(&self, _: &Operation<'_>, now: Instant) -> Fault {
        let mut random = self.random.lock().unwrap();
        if !random.one_in(self.one_in) {
            return Fault::None;
        }
        match random.below(4) {
            0 => Fault::LoseAnswer,
            1 => Fault::LoseRequest,
            2 => Fault::Delay(now + random.millis(4000)),
            _ => Fault::DelayAnswer(now + random.millis(4000)),
        }
    }
}

fn chaos(seed: u64) {
    let mut random = Random(seed);
    let mut group = Harness::new();
    let network = BadNetwork { random: Mutex::new(random.clone()), one_in: 2 + random.below(40) };
    group.cluster.set_faults(Some(Arc::new(network)));
    let mut frozen_until = Vec::new();
    for _ in 0..500 {
        disturb(&mut group, &mut random, &mut frozen_until);
        for _ in 0..group.nodes.len() * 2 {
            let index = random.below(group.nodes.len() as u64) as usize;
            let now = group.now();
            if random.one_in(2) {
                group.nodes[index].step_member(now);
            } else {
                group.nodes[index].step_thread(now);
            }
            group.check();
        }
        let pause = if random.one_in(50) { 3000 } else { 200 };
        group.clock.advance(random.millis(pause));
        group.cluster.tick();
        group.check();
    }
    group.cluster.set_faults(None);
    group.nodes.retain(|node| !node.left);
    for node in &mut group.nodes {
        node.frozen = false;
        node.stuck = false;
        node.release_takes = Duration::ZERO;
    }
    if group.nodes.is_empty() {
        group.start(1);
    }
    group.run_until(10 * SESSION, Harness::settled);
    group.run(3 * SESSION);
    assert!(group.settled(), "it does not last: {}", group.describe());
}

fn disturb(group: &mut Harness, random: &mut Random, frozen_until: &mut Vec<Instant>) {
    let now = group.now();
    if group.nodes.is_empty() || (group.nodes.len() < 5 && random.one_in(25)) {
        let mut config = Harness::config(u128::from(1 + random.below(3)));
        config.standby_replicas = random.below(2) as usize;
        config.instance_id = random.one_in(3).then(|| format!("instance-{}", random.next()));
        let index = group.start_with(config);
        group.nodes[index].release_takes = random.millis(3000);
        frozen_until.push(Instant::default());
    }
    let index = random.below(group.nodes.len() as u64) as usize;
    if random.one_in(60) {
        group.nodes[index].frozen = true;
        frozen_until[index] = now + random.millis(15_000);
    }
    for (node, until) in group.nodes.iter_mut().zip(&*frozen_until) {
        node.frozen &= now < *until;
    }
    if random.one_in(100) {
        group.nodes[index].stuck = true;
    }
    if random.one_in(100) {
        group.nodes.iter_mut().for_each(|node| node.stuck = node.left);
    }
    if random.one_in(150) {
        // Whoever leaves has released everything.
        let node = &mut group.nodes[index];
        if !node.frozen && !node.stuck {
            node.owned.clear();
            node.handle.acknowledge(Vec::new());
            drop(node.handle.leave());
            node.stuck = true;
            node.left = true;
        }
    }
    if random.one_in(120) {
        let dead = group.nodes.remove(index);
        frozen_until.remove(index);
        if random.one_in(2) && !dead.left {
            let mut config = Harness::config(dead.process.as_u128());
            config.instance_id = dead.instance;
            group.start_with(config);
            frozen_until.push(Instant::default());
        }
    }
    if group.nodes.is_empty() {
        group.start(1);
        frozen_until.push(Instant::default());
    }
}

/// A failing seed is printed: that is all that is needed to run it again. PROPTEST_CASES asks for
/// more of them than a usual run has time for.
fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { config } else { ProptestConfig { cases: 100, ..config } }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_task_has_two_owners_and_calm_settles(seed in any::<u64>()) {
        chaos(seed);
    }
}
