//! Torture on a real Kafka: the committed output of an application whose processes are killed,
//! frozen, and robbed of their state is that of an undisturbed run. See `docs/torture.md`.
//!
//! `TORTURE_ROUNDS=20 TORTURE_SECONDS=60 cargo test -p integration-tests --test torture
//! killed_at_random_exactly_once -- --nocapture`

use std::time::Duration;

use integration_tests::Kafka;
use integration_tests::torture::{
    GapWatch, Guarantee, Random, SESSION_TIMEOUT, Stage, TRANSACTION_TIMEOUT, Writer,
    number_from_env,
};
use streams_core::time::{Clock, Instant, SystemClock};

const PARTITIONS: i32 = 6;
const INSTANCES: [&str; 3] = ["a", "b", "c"];
/// Entries a second.
const RATE: u64 = 1_000;

fn seconds(random: &mut Random, from: u64, to: u64) -> Duration {
    Duration::from_millis(random.within(from * 1000..to * 1000))
}

/// What a test does to an instance.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Kill,
    /// Its disk is lost as well.
    KillAndWipe,
    /// Longer than its session, then it goes on.
    Freeze,
}

/// What is to happen later.
#[derive(Clone, Copy)]
struct Later {
    at: Instant,
    instance: &'static str,
    frozen: bool,
}

/// Mishaps of random instances at random times, until the time is over; when instances died.
async fn torment(
    stage: &mut Stage,
    random: &mut Random,
    length: Duration,
    mishaps: &[Mishap],
) -> Vec<Instant> {
    let (mut kills, mut pending) = (Vec::new(), Vec::<Later>::new());
    let end = SystemClock.now() + length;
    let mut next = SystemClock.now() + seconds(random, 1, 3);
    loop {
        let soonest = pending.iter().map(|later| later.at).min().unwrap_or(next);
        let at = soonest.min(next);
        if at >= end {
            break;
        }
        tokio::time::sleep(at.since(SystemClock.now())).await;
        if soonest <= next && !pending.is_empty() {
            let place = pending.iter().position(|later| later.at == soonest).unwrap();
            come_back(stage, pending.remove(place));
            continue;
        }
        next = next + seconds(random, 2, 6);
        stage.check_alive();
        let well = INSTANCES.into_iter().filter(|name| pending.iter().all(|p| p.instance != *name));
        let well: Vec<_> = well.collect();
        // One at least is left in peace.
        if well.len() < 2 {
            continue;
        }
        let instance = *random.one_of(&well);
        let mishap = *random.one_of(mishaps);
        let later = match mishap {
            Mishap::Freeze => {
                stage.instance(instance).freeze();
                let pause = SESSION_TIMEOUT + seconds(random, 1, 4);
                Later { at: SystemClock.now() + pause, instance, frozen: true }
            }
            Mishap::Kill | Mishap::KillAndWipe => {
                kills.push(stage.kill(instance));
                if matches!(mishap, Mishap::KillAndWipe) {
                    stage.wipe(instance);
                }
                // Back before anybody misses it, or long after others have taken over.
                let pause = *random.one_of(&[0, 300, 1000, 3000, 9000]);
                let at = SystemClock.now() + Duration::from_millis(pause);
                Later { at, instance, frozen: false }
            }
        };
        println!("  {mishap:?} of {instance}, back in {:.1?}", later.at.since(SystemClock.now()));
        pending.push(later);
    }
    pending.into_iter().for_each(|later| come_back(stage, later));
    kills
}

fn come_back(stage: &mut Stage, later: Later) {
    if later.frozen {
        stage.instance(later.instance).thaw();
    } else {
        stage.start(later.instance);
    }
}

/// One run of three processes.
async fn round(
    kafka: &Kafka,
    application_id: &str,
    guarantee: Guarantee,
    random: &mut Random,
    mishaps: &[Mishap],
    length: Duration,
) -> Gaps {
    let mut stage = crate::stage(kafka, application_id, guarantee, PARTITIONS).await;
    let topics = stage.topics().clone();
    let writer = Writer::start(&kafka.bootstrap(), &topics.entries, RATE);
    INSTANCES.into_iter().for_each(|instance| stage.start(instance));
    INSTANCES.into_iter().for_each(|instance| {
        stage.instance(instance).wait_for("STATE Running");
    });
    let watched = [topics.echo.as_str(), &topics.balances];
    let watch = GapWatch::start(&kafka.bootstrap(), &watched, PARTITIONS);
    let kills = torment(&mut stage, random, length, mishaps).await;
    let gaps = Gaps {
        after_one: watch.longest_around(&kills, 1..=1).map(|gap| gap.length()).unwrap_or_default(),
        after_several: watch
            .longest_around(&kills, 2..=usize::MAX)
            .map(|gap| gap.length())
            .unwrap_or_default(),
    };
    let entries = writer.stop();
    let (echo, balances) = stage.finish(entries).repeated();
    println!(
        "{application_id}: {entries} entries, {} kills; repeated: {echo} of the echo, {balances} of \
         the balances; {gaps}",
        kills.len(),
    );
    gaps
}

/// How long a partition had no committed output around a kill -9, at most.
#[derive(Clone, Copy, Default)]
struct Gaps {
    /// The session of the dead one bounds it.
    after_one: Duration,
    /// Another one was killed before the first was made good: their sessions add up.
    after_several: Duration,
}

impl std::fmt::Display for Gaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "longest gap in committed output after a kill -9: {:.1} s, after several in a row: \
             {:.1} s; session timeout: {:.1} s, transaction timeout: {:.1} s",
            self.after_one.as_secs_f64(),
            self.after_several.as_secs_f64(),
            SESSION_TIMEOUT.as_secs_f64(),
            TRANSACTION_TIMEOUT.as_secs_f64(),
        )
    }
}

/// Rounds as the environment says, else one of `seconds`.
async fn rounds(name: &str, guarantee: Guarantee, mishaps: &[Mishap], seconds: u64) {
    let rounds = number_from_env("TORTURE_ROUNDS", 1);
    let length = Duration::from_secs(number_from_env("TORTURE_SECONDS", seconds));
    let random = Random::from_env(name);
    let kafka = crate::start_kafka(1);
    let mut longest = Gaps::default();
    for number in 1..=rounds {
        let application_id = format!("{name}-{number}");
        let mut random = random.part(number);
        let gaps = round(&kafka, &application_id, guarantee, &mut random, mishaps, length).await;
        longest.after_one = longest.after_one.max(gaps.after_one);
        longest.after_several = longest.after_several.max(gaps.after_several);
    }
    println!("{name}: {rounds} rounds of {} s passed; {longest}", length.as_secs());
}

/// I1, I3, I5
#[tokio::test]
async fn killed_at_random_exactly_once() {
    rounds("killed-exactly", Guarantee::ExactlyOnce, &[Mishap::Kill], 25).await;
}

/// I3
#[tokio::test]
async fn killed_at_random_at_least_once() {
    rounds("killed-at-least", Guarantee::AtLeastOnce, &[Mishap::Kill], 15).await;
}

const ALL: &[Mishap] = &[Mishap::Kill, Mishap::KillAndWipe, Mishap::Freeze];

/// I5, I6: also without their disks, and frozen beyond their sessions.
#[tokio::test]
async fn killed_wiped_and_frozen_exactly_once() {
    rounds("all-exactly", Guarantee::ExactlyOnce, ALL, 20).await;
}

/// I6
#[tokio::test]
async fn killed_wiped_and_frozen_at_least_once() {
    rounds("all-at-least", Guarantee::AtLeastOnce, ALL, 20).await;
}
