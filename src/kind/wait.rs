//! A wait that says what it waits for, what was seen last and how much time is left: `health`, `temporal`.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{BoxFuture, Changing, Done, DriveAction, Failure, Param, Params, Reading, Ty, Verdict};
use crate::yaml::Diagnostics;

pub(super) const STABLE_FOR: Param = Param::new("stable_for", Ty::Duration, "how long it must stay well; default 0s");
pub(super) const WITHIN: Param = Param::new("within", Ty::Duration, "how long to wait at most; default 1m");

/// One answer, in the words that a person reads.
pub(super) enum Seen {
    Well(String),
    Bad(String),
    /// It cannot be asked at all, however long one waits.
    Never(Failure),
}

/// What is asked again and again.
pub(super) trait Looks: Send + Sync {
    /// Asks once. `limit` is for one answer.
    fn look<'a>(&'a self, host: &'a dyn Reading, limit: Duration) -> BoxFuture<'a, Seen>;

    /// Fields of the result beside `seen` and `waited`, of the last answer.
    fn fields(&self) -> Map<String, Value> {
        Map::new()
    }
}

pub(super) struct Wait<T> {
    pub(super) target: T,
    /// For a person.
    pub(super) what: String,
    pub(super) times: Times,
    pub(super) quiet: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) stable_for: Duration,
    pub(super) within: Duration,
}

impl Times {
    pub(super) fn read(params: &Params) -> Times {
        Times {
            stable_for: params.duration("stable_for").unwrap_or_default(),
            within: params.duration("within").unwrap_or(Duration::from_secs(60)),
        }
    }

    pub(super) fn lint(self, params: &Params) -> Diagnostics {
        let mut found = Diagnostics::default();
        let Times { stable_for, within } = self;
        if stable_for > within && !params.pending("within") {
            let message = format!("it cannot stay well for {} within {}", show(stable_for), show(within));
            found.push(params.error("stable_for", message));
        }
        found
    }
}

/// Between two questions.
const REST: Duration = Duration::from_millis(500);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Time passes unseen no longer than this.
const SHOW: Duration = Duration::from_secs(10);

impl<T: Looks> Wait<T> {
    fn shown(&self, seen: &str) -> String {
        if self.quiet {
            "hidden (no_log)".to_owned()
        } else {
            seen.to_owned()
        }
    }

    async fn wait(&self, host: &dyn Reading) -> Result<Done, Failure> {
        let start = Instant::now();
        let mut well_since: Option<Instant> = None;
        let mut shown = (String::new(), start);
        loop {
            let asked = Instant::now();
            let left = self.times.within.saturating_sub(start.elapsed());
            let limit = left.clamp(Duration::from_secs(1), ANSWER);
            let seen = tokio::select! {
                biased;
                () = host.cancelled() => return Err(self.broken_off(&shown.0, left)),
                seen = self.target.look(host, limit) => seen,
            };
            let (well, seen) = match seen {
                Seen::Well(seen) => (true, self.shown(&seen)),
                Seen::Bad(seen) => (false, self.shown(&seen)),
                Seen::Never(failure) => return Err(failure),
            };
            let stable = match (well, well_since) {
                (false, _) => {
                    well_since = None;
                    Duration::ZERO
                }
                (true, Some(since)) => asked.saturating_duration_since(since),
                (true, None) => {
                    well_since = Some(Instant::now());
                    Duration::ZERO
                }
            };
            let left = self.times.within.saturating_sub(start.elapsed());
            if well && stable >= self.times.stable_for {
                let waited = start.elapsed().as_secs();
                return Ok(Done {
                    changed: false,
                    result: self.result(&seen, waited),
                    diff: None,
                    message: Some(format!("{}: {seen}, after {waited} s", self.what)),
                });
            }
            if left.is_zero() {
                return Err(self.late(&seen, well.then_some(stable), start.elapsed()));
            }
            let state = if well { format!("{seen}, well") } else { seen.clone() };
            if shown.0 != state || shown.1.elapsed() >= SHOW {
                let so_far = match well {
                    true => format!(" for {} of {}", show(stable), show(self.times.stable_for)),
                    false => String::new(),
                };
                host.progress(&format!(
                    "waiting for {}: {state}{so_far}, {} left",
                    self.what,
                    show(left)
                ));
                shown = (state, Instant::now());
            }
            tokio::select! {
                biased;
                () = host.cancelled() => return Err(self.broken_off(&seen, left)),
                () = tokio::time::sleep(REST.min(left)) => {}
            }
        }
    }

    fn result(&self, seen: &str, waited: u64) -> Value {
        let mut fields = self.target.fields();
        fields.insert("seen".into(), json!(seen));
        fields.insert("waited".into(), json!(waited));
        Value::Object(fields)
    }

    fn late(&self, seen: &str, stable: Option<Duration>, waited: Duration) -> Failure {
        let stable = match stable {
            Some(stable) => format!(
                ", and stayed well for {} of {}",
                show(stable),
                show(self.times.stable_for)
            ),
            None => String::new(),
        };
        Failure::new(format!(
            "waited for {}: the last answer was {seen}{stable}; no time left of {}",
            self.what,
            show(self.times.within)
        ))
        .with(self.result(seen, waited.as_secs()))
    }

    fn broken_off(&self, seen: &str, left: Duration) -> Failure {
        let seen = if seen.is_empty() { "none" } else { seen };
        Failure::new(format!(
            "the wait for {} was broken off: the last answer was {seen}, {} left",
            self.what,
            show(left)
        ))
    }
}

impl<T: Looks> DriveAction for Wait<T> {
    /// It can only be known by waiting, and a check does not wait.
    fn check<'a>(&'a self, _host: &'a dyn Reading) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(async {
            Ok(Verdict::Differs {
                predicted: json!({}),
                diff: None,
            })
        })
    }

    fn apply<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(self.wait(host.reading()))
    }

    fn reads_only(&self) -> bool {
        true
    }
}

/// `1m30s`; below a second `0s`.
pub(super) fn show(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, 0, 0) => format!("{h}h"),
        (h, m, _) => format!("{h}h{m}m"),
    }
}
