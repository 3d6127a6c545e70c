//! Stores of two tasks under random commits, restarts and crashes.

use super::model::Choices;
use super::stores::{Process, apply, check_store, offset, put, up_to};
use super::{Survives, Violation};
use crate::{Attempt, EngineKind, LayeredStore, Segments, StoreSpec, TaskKey, Write};

const STEPS: usize = 120;
const TASKS: [TaskKey; 2] = [TaskKey::new(1, 0), TaskKey::new(1, 1)];

/// A store and its changelog.
struct Kept {
    task: TaskKey,
    spec: StoreSpec,
    store: Option<LayeredStore>,
    log: Vec<Write>,
    /// How much of the log was made durable by a flush of everything.
    flushed: usize,
    /// How much of it was written to the engine.
    applied: usize,
}

/// One run of one seed.
pub(super) fn run(engine: &EngineKind, survives: Survives, seed: u64) -> Result<(), Violation> {
    let mut choices = Choices::of_seed(seed);
    let mut process = Process::new(engine)?;
    let specs = [
        StoreSpec::key_value("rows"),
        StoreSpec::segmented("windows", Segments::of_retention(i64::MAX)),
    ];
    let mut stores: Vec<_> = TASKS
        .into_iter()
        .flat_map(|task| specs.clone().map(|spec| Kept::new(task, spec)))
        .collect();
    open_all(&mut stores, &process, survives, false)?;
    for step in 0..STEPS {
        let index = choices.below(stores.len());
        let store = &mut stores[index];
        match choices.below(24) {
            0..10 => store.commit(&mut choices)?,
            10..14 => store.apply()?,
            14..17 => check_store(store.open(), &store.log)?,
            17 => store.wipe()?,
            18 if store.applied == store.log.len() => store.load(&mut choices)?,
            19 => {
                process.upkeep(i64::try_from(step).unwrap_or(0) * 10_000)?;
            }
            20 => {
                process.directory().flush_all()?;
                stores.iter_mut().for_each(|store| store.flushed = store.applied);
            }
            how @ (21 | 22) => {
                let crash = how == 22;
                if survives < if crash { Survives::Crash } else { Survives::Closing } {
                    continue;
                }
                stores.iter_mut().for_each(|store| store.store = None);
                if crash {
                    process.crash()?
                } else {
                    process.restart()?
                }
                open_all(&mut stores, &process, survives, true)?;
            }
            _ => {}
        }
    }
    stores.iter().try_for_each(|store| check_store(store.open(), &store.log))
}

/// Opens all stores, and restores what is missing.
fn open_all(
    stores: &mut [Kept],
    process: &Process,
    survives: Survives,
    again: bool,
) -> Result<(), Violation> {
    let leases = TASKS.map(|task| process.directory().lease(task));
    let leases = leases.into_iter().collect::<Result<Vec<_>, _>>()?;
    for kept in stores {
        let lease = leases.iter().find(|lease| lease.task() == kept.task);
        let store = lease.expect("every task has a lease").open_store(&kept.spec)?;
        let survived = offset(&store);
        if again && survives >= Survives::Closing && survived < kept.flushed {
            return Err(Violation::new(
                "what was flushed is there after a crash and after a close",
                format!("a store is at {survived}, and was flushed at {}", kept.flushed),
            ));
        }
        if survived > kept.log.len() {
            let rule = "a store that was wiped stays empty";
            return Err(Violation::new(rule, format!("it came back at {survived}")));
        }
        check_store(&store, &kept.log[..survived])?;
        let (missing, end) = (kept.log.split_off(survived), survived);
        (kept.applied, kept.flushed) = (end, end);
        kept.store = Some(store);
        kept.write(missing)?;
    }
    Ok(())
}

impl Kept {
    fn new(task: TaskKey, spec: StoreSpec) -> Self {
        Self { task, spec, store: None, log: Vec::new(), flushed: 0, applied: 0 }
    }

    fn open(&self) -> &LayeredStore {
        self.store.as_ref().expect("it is open between two steps")
    }

    fn open_mut(&mut self) -> &mut LayeredStore {
        self.store.as_mut().expect("it is open between two steps")
    }

    /// Rows of a segmented store begin with a segment.
    fn writes(&self, choices: &mut Choices) -> Vec<Write> {
        let segmented = self.spec.segments.is_some();
        let in_segment = |key: &[u8]| {
            let (segment, rest) = key.split_first().unwrap_or((&0, &[]));
            [&[0; 7], &[*segment % 200][..], rest].concat().into()
        };
        let writes = choices.writes(0).into_iter();
        writes.map(|(key, value)| (if segmented { in_segment(&key) } else { key }, value)).collect()
    }

    fn commit(&mut self, choices: &mut Choices) -> Result<(), Violation> {
        let writes = self.writes(choices);
        self.log.extend(writes.clone());
        let metadata = up_to(self.log.len());
        let store = self.open_mut();
        store.seal(Attempt(1), writes);
        store.commit(Attempt(1), metadata);
        Ok(())
    }

    fn apply(&mut self) -> Result<(), Violation> {
        apply(self.open_mut())?;
        self.applied = self.log.len();
        Ok(())
    }

    fn write(&mut self, writes: Vec<Write>) -> Result<(), Violation> {
        if writes.is_empty() {
            return Ok(());
        }
        self.log.extend(writes.clone());
        let metadata = up_to(self.log.len());
        put(self.open_mut(), metadata, writes)?;
        self.applied = self.log.len();
        Ok(())
    }

    fn wipe(&mut self) -> Result<(), Violation> {
        self.open_mut().wipe()?;
        self.log.clear();
        (self.applied, self.flushed) = (0, 0);
        Ok(())
    }

    /// Restores more of the changelog, in small runs.
    fn load(&mut self, choices: &mut Choices) -> Result<(), Violation> {
        let mut load = self.open_mut().bulk_load()?.with_run_bytes_max(300);
        for _ in 0..1 + choices.below(4) {
            for (key, value) in self.writes(choices) {
                load.push(&key, value.as_deref());
                self.log.push((key, value));
            }
            load.checkpoint(&up_to(self.log.len()))?;
        }
        let loaded = load.finish(up_to(self.log.len()))?;
        self.open_mut().finish_load(loaded);
        self.applied = self.log.len();
        Ok(())
    }
}
