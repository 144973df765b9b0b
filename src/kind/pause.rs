//! Waits: for a time, or for a person.
//!
//!     - pause: { seconds: 30 }
//!     - pause: { prompt: "Is the balancer drained? Return goes on" }
//!
//! With `prompt` a person at the terminal has to answer; what was typed is `user_input`. Without a terminal the run is paused
//! there (exit 6) and `refit resume` asks again. With neither, it waits for Return as with `prompt`. Nothing is changed.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Action, BoxFuture, Changing, Context, Done, DriveAction, Failure, Kind, Param, Params, Reading, Ty, Verdict, list,
};
use crate::yaml::Diagnostics;

pub(super) struct Pause;
pub(super) static KIND: Pause = Pause;

const PARAMS: &[Param] = &[
    Param::new("seconds", Ty::Duration, "how long to wait"),
    Param::new("minutes", Ty::Int, "how long to wait, in minutes"),
    Param::new("prompt", Ty::Text, "what to ask a person"),
    Param::new("echo", Ty::Bool, "show what is typed; default yes"),
];

struct Wait {
    time: Option<Duration>,
    prompt: String,
    echo: bool,
}

impl Wait {
    async fn rest(time: Duration, host: &dyn Reading) -> Result<Done, Failure> {
        let start = Instant::now();
        loop {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                break;
            }
            host.progress(&format!("waiting, {} s left", left.as_secs_f64().ceil()));
            tokio::select! {
                () = tokio::time::sleep(left.min(Duration::from_secs(1))) => {}
                () = host.cancelled() => return Err(Failure::new("the wait was broken off")),
            }
        }
        let waited = start.elapsed().as_secs();
        Ok(Done {
            changed: false,
            result: json!({ "user_input": "", "delta": waited }),
            diff: None,
            message: Some(format!("waited {waited} s")),
        })
    }
}

impl DriveAction for Wait {
    fn check<'a>(&'a self, _host: &'a dyn Reading) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(async {
            Ok(Verdict::Differs {
                predicted: json!({}),
                diff: None,
            })
        })
    }

    fn apply<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Done, Failure>> {
        let host = host.reading();
        Box::pin(async move {
            if let Some(time) = self.time {
                return Wait::rest(time, host).await;
            }
            if !host.terminal() {
                return Err(Failure::paused(format!("waiting for a person: {}", self.prompt)));
            }
            let start = Instant::now();
            let answer = tokio::select! {
                answer = host.ask(&self.prompt, !self.echo) => answer?,
                () = host.cancelled() => return Err(Failure::new("the wait was broken off")),
            };
            Ok(Done {
                changed: false,
                result: json!({ "user_input": answer, "delta": start.elapsed().as_secs() }),
                diff: None,
                message: None,
            })
        })
    }

    fn reads_only(&self) -> bool {
        true
    }
}

impl Kind for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    fn manual(&self) -> &'static str {
        list::manual!("pause.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["user_input", "delta"]
    }

    fn reads_only(&self) -> bool {
        true
    }

    fn lint(&self, params: &Params, _context: &Context<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        let times = ["seconds", "minutes"];
        if times.iter().all(|name| params.has(name)) {
            found.push(params.error("minutes", "`pause` takes only one of `seconds`, `minutes`"));
        }
        if params.has("prompt") && times.iter().any(|name| params.has(name)) {
            found.push(params.error("prompt", "`pause` waits for a time or for a person, not for both"));
        }
        if params.int("minutes").is_some_and(|minutes| minutes < 0) {
            found.push(params.error("minutes", "`minutes` is negative"));
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let minutes = params.int("minutes").and_then(|minutes| u64::try_from(minutes).ok());
        let minutes = minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
        Ok(Action::Drive(Box::new(Wait {
            time: params.duration("seconds").or(minutes),
            prompt: params
                .text("prompt")
                .unwrap_or_else(|| "press Return to go on".to_owned()),
            echo: params.bool("echo").unwrap_or(true),
        })))
    }
}
