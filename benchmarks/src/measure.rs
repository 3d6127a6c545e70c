//! What a process has used.

use std::time::Duration;

use streams_core::time::{Clock, Instant, SystemClock};

use crate::Result;

/// What one run of a case used, from the start of its process to its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// User and system time of all threads, in seconds.
    pub(crate) cpu_s: f64,
    /// In seconds, process start included.
    pub(crate) wall_s: f64,
    /// The largest resident set.
    pub(crate) rss_mib: f64,
}

impl Sample {
    pub(crate) fn of_this_process() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|line| line.trim().split(' ').next()).unwrap_or("0");
        Ok(Self {
            cpu_s: cpu_time().as_secs_f64(),
            wall_s: 0.0,
            rss_mib: kib.parse::<f64>()? / 1024.0,
        })
    }

    pub(crate) fn to_line(self) -> String {
        format!("{} {}", self.cpu_s, self.rss_mib)
    }

    pub(crate) fn from_line(line: &str, wall: Duration) -> Result<Self> {
        let mut numbers = line.split(' ').map(str::parse::<f64>);
        let mut next = || numbers.next().ok_or("a case told too little");
        Ok(Self { cpu_s: next()??, rss_mib: next()??, wall_s: wall.as_secs_f64() })
    }
}

/// User and system time of all threads of this process, those that ended included.
#[allow(clippy::disallowed_methods, reason = "no time of day: what the process has used")]
pub(crate) fn cpu_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
}

/// A fixed piece of work: how much CPU time it takes tells how disturbed the machine is.
pub(crate) fn spin() -> Duration {
    let before = cpu_time();
    let mut state = 1_u64;
    for _ in 0..50_000_000 {
        state = std::hint::black_box(state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
    }
    cpu_time().saturating_sub(before)
}

/// Writes the log to stderr, if `BENCH_LOG` has a filter for it: to find out where time goes.
pub(crate) fn log_if_asked() {
    if let Ok(filter) = std::env::var("BENCH_LOG") {
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
        log.with_env_filter(filter).init();
    }
}

pub(crate) fn now() -> Instant {
    SystemClock.now()
}

/// Smallest and median.
pub(crate) fn min_and_median(numbers: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let median = match sorted.len() {
        0 => return (0.0, 0.0),
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    };
    (sorted[0], median)
}
