//! One session of a controller: from files to a verdict.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;

use super::course::drive;
use super::foresee::{decide, decided};
use super::host::identity_text;
use super::lookout::Lookout;
use super::resume::Earlier;
use super::run::{Halt, Run};
use super::steps::{End, Walk, in_one_line};
use super::survey::{Survey, survey};
use crate::connection::Hub;
use crate::event::{Controller, Digests, Event, Fate, RunBegan, RunState, Watch};
use crate::id::{HostName, Phase, RunId};
use crate::journal::{Journal, JournalError, this_controller};
use crate::plan::{self, Checked, Loaded, Options, SecretUse};
use crate::secret::HIDDEN;
use crate::yaml::{Diagnostic, Diagnostics};

/// How far a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Load, connect, probe; say what is wrong.
    Preflight,
    /// As preflight, and say what would be done.
    Plan,
    /// Every check of every unit, and nothing else.
    Check,
    Run,
}

pub(crate) struct Request {
    pub(crate) mode: Mode,
    pub(crate) options: Options,
    pub(crate) journal: PathBuf,
    /// Of refit.yml, by the sources.
    pub(crate) environment: Option<String>,
    pub(crate) takeover: Option<String>,
    /// A run to take up again, with its history.
    pub(crate) earlier: Option<Earlier>,
    pub(crate) course: Course,
    pub(crate) watchers: Vec<Box<dyn Watch>>,
    pub(crate) terminal: bool,
}

/// Where a run goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    On,
    /// What the earlier run left open is put back, and it is closed: by whom, and why.
    Close(String, String),
    /// The earlier run is taken back, and closed.
    Back(String, String),
}

/// What a session came to.
pub(crate) struct Session {
    pub(crate) exit: u8,
    /// Why it was refused, with places.
    pub(crate) diagnostics: Diagnostics,
    pub(crate) redactor: Option<crate::secret::Redactor>,
    pub(crate) state: Option<RunState>,
    pub(crate) plan: Option<Planned>,
}

/// For `refit plan` and `refit preflight`.
pub(crate) struct Planned {
    pub(crate) checked: Checked,
    pub(crate) recipe: Digests,
    pub(crate) digest: String,
    pub(crate) lost: Vec<(HostName, String)>,
    /// Where each host that answered keeps its state, and how much room there is.
    pub(crate) states: Vec<(HostName, String)>,
    pub(crate) name: String,
}

impl Session {
    pub(super) fn refused(exit: u8, diagnostics: impl Into<Diagnostics>) -> Session {
        Session {
            exit,
            diagnostics: diagnostics.into(),
            redactor: None,
            state: None,
            plan: None,
        }
    }

    pub(super) fn because(exit: u8, text: impl Into<String>, help: &[String]) -> Session {
        let mut diagnostic = Diagnostic::general(text);
        for line in help {
            diagnostic = diagnostic.help(line.clone());
        }
        Session::refused(exit, diagnostic)
    }

    fn journal(error: &JournalError) -> Session {
        Session::because(error.exit(), error.to_string(), &[])
    }
}

/// Runs a session to its end.
pub(crate) async fn run(request: Request) -> Session {
    let lookout = Lookout::start();
    let mut redactor = None;
    let mut session = begin(request, &lookout, &mut redactor)
        .await
        .unwrap_or_else(|session| *session);
    session.redactor = session.redactor.or(redactor);
    session
}

type Refusal = Box<Session>;

async fn begin(
    request: Request,
    lookout: &Lookout,
    redactor: &mut Option<crate::secret::Redactor>,
) -> Result<Session, Refusal> {
    let refuse = |session: Session| Box::new(session);
    let journal = match request.mode {
        Mode::Run => Some(
            Journal::open(&request.journal)
                .await
                .map_err(|e| refuse(Session::journal(&e)))?,
        ),
        _ => None,
    };
    let key = match &journal {
        Some(journal) => journal.key().await,
        None => match Journal::open_reader(&request.journal).await {
            Ok(reader) => reader.key().await,
            Err(_) => Ok([0; 32]),
        },
    }
    .map_err(|e| refuse(Session::journal(&e)))?;
    let id = request
        .earlier
        .as_ref()
        .map_or_else(RunId::fresh, |earlier| earlier.state.run.clone());
    let mut loaded =
        plan::load(request.options, id.clone(), key, SecretUse::Read).map_err(|e| refuse(Session::refused(1, e)))?;
    *redactor = Some(loaded.redactor.clone());
    if let Some(earlier) = &request.earlier {
        let whole = |items: &[serde_json::Value]| !items.iter().any(|item| item.to_string().contains(HIDDEN));
        let items = earlier.state.items.iter().filter(|(_, items)| whole(items));
        loaded.items = items.map(|(path, items)| (path.clone(), items.clone())).collect();
    }
    if let Some(required) = &loaded.playbook.requires_environment
        && request.environment.as_deref() != Some(required.value.as_str())
    {
        let found = match &request.environment {
            Some(name) => format!("this inventory belongs to `{name}`"),
            None => "this inventory belongs to no environment of refit.yml".into(),
        };
        let text = format!(
            "this playbook runs in the environment `{}` only; {found}",
            required.value
        );
        return Err(refuse(Session::refused(1, Diagnostic::error(&required.span, text))));
    }
    let notes = std::mem::take(&mut loaded.notes);
    let loaded = Arc::new(loaded);
    let checked = plan::check(&loaded).map_err(|e| refuse(Session::refused(1, e)))?;
    let hub = Hub::new(loaded.redactor.clone())
        .map(Arc::new)
        .map_err(|e| refuse(Session::because(1, e.text, &[])))?;
    if let (Some(journal), None) = (&journal, &request.earlier) {
        // Said before any host is asked: the answer is in our own journal.
        in_the_way(journal, &named(&checked), None).await.map_err(refuse_box)?;
    }
    let survey = tokio::select! {
        survey = survey(&loaded, &checked, &hub) => survey.map_err(|e| refuse(Session::refused(1, e)))?,
        () = lookout.stop.cancelled() => {
            return Err(refuse(stopped(lookout)));
        }
    };
    let mut texts: Vec<String> = notes.iter().map(|d| d.message.clone()).collect();
    texts.extend(survey.notes.iter().map(|d| d.message.clone()));
    let survey = Surveyed {
        survey,
        loaded,
        checked,
        hub,
        texts,
    };
    surveyed(
        survey,
        request.mode,
        journal,
        request.earlier,
        request.course,
        request.takeover,
        request.environment,
        request.watchers,
        request.terminal,
        lookout,
    )
    .await
}

fn stopped(lookout: &Lookout) -> Session {
    Session::because(
        lookout.code().unwrap_or(130),
        "stopped before anything was touched",
        &[],
    )
}

fn refuse_box(session: Session) -> Refusal {
    Box::new(session)
}

struct Surveyed {
    survey: Survey,
    loaded: Arc<Loaded>,
    checked: Checked,
    hub: Arc<Hub>,
    texts: Vec<String>,
}

fn named(checked: &Checked) -> Vec<(HostName, Option<String>)> {
    checked.hosts.iter().map(|host| (host.clone(), None)).collect()
}

/// Another run of this journal that has to be ended first.
async fn in_the_way(
    journal: &Journal,
    hosts: &[(HostName, Option<String>)],
    own: Option<&RunId>,
) -> Result<Vec<RunId>, Session> {
    let failed = |e| Session::journal(&e);
    let met = journal.on_hosts(hosts).await.map_err(failed)?;
    for run in met.iter().filter(|run| Some(&run.run) != own) {
        let id = &run.run;
        let state = RunState::fold(id.clone(), &journal.records(id).await.map_err(failed)?);
        let back = state.rolling_back.is_some();
        let left: Vec<String> = state.left_open.iter().map(ToString::to_string).collect();
        let why = if run.unfinished() {
            format!("is unfinished ({})", run.state)
        } else if back {
            "is taken back in part".to_owned()
        } else if !left.is_empty() {
            format!("left open what nobody else puts back ({})", left.join(", "))
        } else {
            continue;
        };
        let mut ways = vec![format!("refit abort {id} --reason R  close it")];
        let verb = if back { "rollback" } else { "resume" };
        ways.insert(
            0,
            format!("refit {verb} {id:<width$}  go on with it", width = 52 - verb.len()),
        );
        return Err(Session::because(
            7,
            format!("run {id} ({}) on these hosts {why} and in the way", run.name),
            &ways,
        ));
    }
    Ok(met
        .into_iter()
        .map(|run| run.run)
        .filter(|run| Some(run) != own)
        .collect())
}

#[expect(clippy::too_many_arguments, reason = "the second half of one function")]
async fn surveyed(
    surveyed: Surveyed,
    mode: Mode,
    journal: Option<Journal>,
    earlier: Option<Earlier>,
    course: Course,
    takeover: Option<String>,
    environment: Option<String>,
    watchers: Vec<Box<dyn Watch>>,
    terminal: bool,
    lookout: &Lookout,
) -> Result<Session, Refusal> {
    let Surveyed {
        mut survey,
        loaded,
        checked,
        hub,
        mut texts,
    } = surveyed;
    let refuse = |session: Session| Box::new(session);
    let problems = survey.problems(&checked);
    let unfit = survey.unfit(&checked, earlier.is_some());
    if !problems.is_empty() || (mode == Mode::Preflight && !unfit.is_empty()) {
        let mut all = Diagnostics::default();
        problems
            .into_iter()
            .for_each(|text| all.push(Diagnostic::general(text)));
        unfit
            .iter()
            .flat_map(|(host, why)| why.lines().map(move |line| format!("{host}: {line}")))
            .for_each(|text| all.push(Diagnostic::general(text)));
        lost_too(&survey, &mut all);
        return Err(refuse(Session::refused(1, all)));
    }
    for (host, why) in unfit {
        survey.give_up(host, why).await;
    }
    let own = earlier.as_ref().map(|e| e.state.run.clone());
    // Locks that runs of this journal left when they were over: their hosts did not answer, or they were killed.
    let mut left = HashSet::new();
    if mode != Mode::Check && mode != Mode::Plan {
        for (host, look) in &survey.looks {
            let Some(holder) = look.holder.as_ref().filter(|h| Some(&h.run) != own.as_ref()) else {
                continue;
            };
            let summary = match &journal {
                Some(journal) => journal
                    .summary(&holder.run)
                    .await
                    .map_err(|e| refuse(Session::journal(&e)))?,
                None => None,
            };
            if summary.is_some_and(|run| !run.unfinished()) {
                left.insert(host.clone());
            } else if takeover.is_none() {
                return Err(refuse(locked(host, holder)));
            }
        }
    }
    let hosts: HashMap<HostName, Arc<super::host::Host>> = survey.hosts.clone().into_iter().collect();
    let mut first = Run::new(
        Arc::clone(&loaded),
        None,
        0,
        Arc::clone(&hub),
        hosts.clone(),
        RunState::new(loaded.run.clone()),
        watchers,
        terminal,
        lookout.stop.clone(),
        lookout.detach.clone(),
    );
    let given = probes(&first, &survey, &loaded).await;
    if lookout.stop.is_cancelled() {
        return Err(refuse(stopped(lookout)));
    }
    if let Some(text) = given {
        let mut all = Diagnostics::from(Diagnostic::general(text));
        lost_too(&survey, &mut all);
        return Err(refuse(Session::refused(1, all)));
    }
    let before: HashSet<String> = checked.items.keys().cloned().collect();
    let mut checked = if loaded.playbook.probes.is_empty() {
        checked
    } else {
        plan::check(&loaded).map_err(|e| refuse(Session::refused(1, e)))?
    };
    if earlier.is_none() {
        too_many_lost(&checked, &survey).map_err(|e| refuse(Session::refused(1, e)))?;
        // A run that goes on looks when it comes to a step: what is half done now looks like nothing that was planned.
        tokio::select! {
            decided = decide(&first, &survey, &mut checked) => decided.map_err(|e| refuse(Session::refused(1, e)))?,
            () = lookout.stop.cancelled() => {
                return Err(refuse(stopped(lookout)));
            }
        }
    }
    let recipe = plan::recipe(&loaded, &checked).map_err(|e| refuse(Session::refused(1, e)))?;
    let digest = plan::plan_digest(&recipe, &checked);
    if mode == Mode::Preflight || mode == Mode::Plan {
        let mut diagnostics = Diagnostics::default();
        texts.drain(..).for_each(|text| {
            diagnostics.push(Diagnostic::general(text).severity(crate::yaml::Severity::Note));
        });
        close(&hosts, hub).await;
        return Ok(Session {
            exit: u8::from(!survey.lost.is_empty() && mode == Mode::Preflight),
            diagnostics,
            redactor: Some(loaded.redactor.clone()),
            state: None,
            plan: Some(Planned {
                checked,
                recipe,
                digest,
                states: survey.states(),
                lost: survey.lost.into_iter().collect(),
                name: plan::playbook_name(&loaded),
            }),
        });
    }
    let began = RunBegan {
        playbook: loaded.options.playbook.clone(),
        name: plan::playbook_name(&loaded),
        sources: loaded.options.sources.clone(),
        extra: loaded.options.extra.clone(),
        limit: loaded.options.limit.clone(),
        tags: loaded.options.tags.clone(),
        skip_tags: loaded.options.skip_tags.clone(),
        folder: loaded.options.folder.clone(),
        forks: loaded.options.forks,
        environment,
        excluded: loaded.excluded.iter().map(|(h, r)| (h.clone(), r.clone())).collect(),
        hosts: checked
            .hosts
            .iter()
            .cloned()
            .chain(loaded.excluded.keys().cloned())
            .collect(),
        recipe: recipe.clone(),
        plan: digest,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: loaded.options.schema.clone(),
        check: loaded.options.check,
    };
    let mut state = RunState::new(loaded.run.clone());
    let mut epoch = 0;
    let mut events = Vec::new();
    let controller = this_controller();
    if let Some(journal) = &journal {
        let identities: Vec<(HostName, Option<String>)> = checked
            .hosts
            .iter()
            .map(|host| {
                (
                    host.clone(),
                    survey.looks.get(host).map(|look| identity_text(&look.identity)),
                )
            })
            .collect();
        let closing = in_the_way(journal, &identities, own.as_ref())
            .await
            .map_err(refuse_box)?;
        let fence = survey.looks.values().map(|look| look.fence).max().unwrap_or(0);
        let lease = match takeover {
            Some(_) => journal.take_over(&loaded.run, &controller, fence + 1).await,
            None => journal.attach(&loaded.run, &controller, fence + 1).await,
        };
        epoch = lease.map_err(|e| refuse(Session::journal(&e)))?;
        for run in closing {
            close_earlier(journal, &run, &controller, &loaded.run)
                .await
                .map_err(|e| refuse(Session::journal(&e)))?;
        }
    }
    match earlier {
        Some(earlier) => {
            if let Some(text) = earlier.refusal(&recipe) {
                return Err(refuse(Session::because(
                    1,
                    text,
                    &["--accept goes on with it as it is now".into()],
                )));
            }
            if earlier.changed(&recipe) {
                events.push(Event::Replanned { recipe: recipe.clone() });
            }
            state = earlier.state.clone();
            events.extend(attached(&controller, epoch, &takeover));
            if course == Course::On {
                events.extend(earlier.retries());
            }
        }
        None => {
            events.push(Event::RunBegan(Box::new(began)));
            events.extend(attached(&controller, epoch, &takeover));
            // What probes gave is what the run keeps to, although they may say something else when it goes on.
            let given = checked.items.iter().filter(|(path, _)| !before.contains(*path));
            events.extend(given.map(|(path, items)| items.event(&loaded, path)));
            for host in survey.lost.keys() {
                events.extend(counted(&survey, &checked, host));
            }
        }
    }
    events.extend(texts.into_iter().map(|text| Event::Note { text }));
    let watchers = first.take_watchers();
    drop(first);
    let mut run = Run::new(
        Arc::clone(&loaded),
        journal,
        epoch,
        hub,
        hosts.clone(),
        state,
        watchers,
        terminal,
        lookout.stop.clone(),
        lookout.detach.clone(),
    );
    run.decided = decided(&checked);
    if let Course::Close(who, reason) = &course {
        let _ = run.aborted.set((who.clone(), reason.clone()));
        run.stop.cancel();
    }
    let outcome = drive(
        &run,
        &mut survey,
        &checked,
        events,
        &course,
        |host| takeover.is_some() || left.contains(host),
        lookout,
    )
    .await;
    let session = match outcome {
        Ok(Ok(exit)) => Session {
            exit,
            diagnostics: Diagnostics::default(),
            redactor: Some(loaded.redactor.clone()),
            state: Some(run.state().clone()),
            plan: None,
        },
        Ok(Err(session)) => Session {
            state: Some(run.state().clone()),
            ..session
        },
        Err(Halt::Journal(e)) => Session::journal(&e),
        Err(Halt::PutOut(text)) => Session::because(
            7,
            format!("{text}; this controller stops"),
            &[
                "what was running goes on on its hosts, and nothing more is begun".to_owned(),
                format!(
                    "refit resume {}            go on with it, when the host is free again",
                    run.id
                ),
                format!("refit abort {} --reason R  close it", run.id),
            ],
        ),
    };
    run.close_ways().await;
    let hub = Arc::clone(&run.hub);
    drop(run);
    close(&hosts, hub).await;
    Ok(session)
}

fn attached(controller: &Controller, epoch: i64, takeover: &Option<String>) -> Option<Event> {
    Some(Event::Attached {
        controller: controller.clone(),
        epoch,
        takeover: takeover.clone(),
    })
}

pub(super) fn locked(host: &HostName, holder: &crate::connection::Holder) -> Session {
    let since = jiff::Timestamp::from_second(holder.since)
        .map(|t| t.to_string())
        .unwrap_or_default();
    Session::because(
        7,
        format!(
            "{host} is locked by run {} of {}, since {since}",
            holder.run, holder.controller
        ),
        &[
            format!(
                "refit resume {}            where its journal is: go on with it",
                holder.run
            ),
            format!("refit abort {} --reason R  where its journal is: close it", holder.run),
            "--takeover REASON            if that controller is gone for good".to_owned(),
        ],
    )
}

/// ssh's own words, a line each, and what to do about it; without the frame of its banner.
fn unreached(survey: &Survey, host: &HostName, cause: &str) -> Diagnostic {
    let cannot = match survey.unfit.contains(host) {
        true => "cannot be used",
        false => "cannot be reached",
    };
    let mut lines = cause
        .lines()
        .filter(|line| !line.chars().all(|c| c == '@'))
        .map(|line| line.trim_matches(['@', ' ', '\r']).to_owned());
    let first = lines.next().unwrap_or_default();
    lines.fold(
        Diagnostic::general(format!("{host} {cannot}: {first}")),
        Diagnostic::help,
    )
}

fn lost_too(survey: &Survey, all: &mut Diagnostics) {
    for (host, cause) in &survey.lost {
        all.push(unreached(survey, host, cause));
    }
}

/// A host that the run begins without: it is decided in the first stage that it belongs to.
pub(super) fn counted(survey: &Survey, checked: &Checked, host: &HostName) -> Vec<Event> {
    let cause = survey.lost.get(host).cloned().unwrap_or_default();
    let unfit = survey.unfit.contains(host);
    let lost = (!unfit).then(|| Event::HostLost {
        host: host.clone(),
        cause: cause.clone(),
    });
    let decided = first_stage(checked, host).map(|stage| Event::HostDecided {
        host: host.clone(),
        stage,
        fate: if unfit { Fate::Failed } else { Fate::Unreachable },
        reason: cause.lines().collect::<Vec<_>>().join("; "),
    });
    lost.into_iter().chain(decided).collect()
}

pub(super) fn first_stage(checked: &Checked, host: &HostName) -> Option<String> {
    checked
        .stages
        .iter()
        .find(|stage| stage.skipped.is_none() && stage.path != "probes" && stage.hosts.contains(host))
        .map(|stage| stage.path.clone())
}

/// A host that was not reached counts as failed in the first stage that it belongs to.
pub(super) fn too_many_lost(checked: &Checked, survey: &Survey) -> Result<(), Diagnostics> {
    if survey.lost.is_empty() {
        return Ok(());
    }
    let mut over = Vec::new();
    for stage in &checked.stages {
        let lost = survey
            .lost
            .keys()
            .filter(|host| first_stage(checked, host).as_deref() == Some(stage.path.as_str()))
            .count();
        if lost > stage.max_fail {
            over.push(format!(
                "stage {} allows {} failed hosts, {lost} cannot be reached or used",
                stage.path, stage.max_fail
            ));
        }
    }
    let delegate_lost = survey.lost.keys().any(|host| !checked.hosts.contains(host));
    // Hosts that are there could not reach what they go through it for.
    let way_lost = survey.lost.keys().any(|way| {
        let users = checked.ways.get(way);
        users.is_some_and(|users| users.iter().any(|user| !survey.lost.contains_key(user)))
    });
    if over.is_empty() && !delegate_lost && !way_lost {
        return Ok(());
    }
    let mut all = Diagnostics::default();
    for (host, cause) in &survey.lost {
        all.push(unreached(survey, host, cause));
    }
    for text in over {
        all.push(Diagnostic::general(text).help("nothing was touched; `--exclude HOST --reason R` leaves a host out"));
    }
    Err(all)
}

/// Read-only steps that feed the plan. Some: why the run cannot begin.
async fn probes(run: &Run, survey: &Survey, loaded: &Arc<Loaded>) -> Option<String> {
    if loaded.playbook.probes.is_empty() {
        return None;
    }
    let hosts = match plan::stage_hosts(loaded, &loaded.playbook.hosts, None) {
        Ok(hosts) => hosts.hosts,
        Err(e) => return Some(in_one_line(&e)),
    };
    let hosts: Vec<HostName> = hosts.into_iter().filter(|h| !survey.lost.contains_key(h)).collect();
    for step in &loaded.playbook.probes {
        let asked = if step.run_once {
            &hosts[..hosts.len().min(1)]
        } else {
            &hosts[..]
        };
        let walk = Walk {
            run,
            instance: None,
            path: "probes",
            phase: Phase::Probe,
            batch: &hosts,
            outcome: "running",
            for_all: step.run_once,
            deadline: None,
        };
        let walk = &walk;
        let ends = join_all(
            asked
                .iter()
                .map(|host| async move { (host, walk.steps(host, &[step]).await) }),
        )
        .await;
        for (host, end) in ends {
            match end {
                Ok(End::Done) => {}
                Ok(End::Failed(text) | End::Unreachable(text) | End::Unknown(text) | End::Paused(text)) => {
                    return Some(format!("probe `{}` on {host}: {text}", step.id));
                }
                Ok(End::Stopped) => return Some("stopped before anything was touched".into()),
                Err(e) => return Some(e.to_string()),
            }
        }
    }
    None
}

/// A run that ended with 2 or 3 gives way to a new one on its hosts; that is recorded.
async fn close_earlier(
    journal: &Journal,
    earlier: &RunId,
    controller: &Controller,
    by: &RunId,
) -> Result<(), JournalError> {
    let epoch = journal.attach(earlier, controller, 0).await?;
    journal
        .append(
            earlier,
            epoch,
            vec![Event::RunClosed {
                who: controller.user.clone(),
                reason: format!("run {by} began on its hosts"),
            }],
        )
        .await?;
    Ok(())
}

async fn close(hosts: &HashMap<HostName, Arc<super::host::Host>>, hub: Arc<Hub>) {
    join_all(hosts.values().map(|host| async move { host.close().await })).await;
    if let Ok(hub) = Arc::try_unwrap(hub).map_err(|_| ()) {
        hub.close().await;
    }
}
