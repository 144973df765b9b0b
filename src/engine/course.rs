//! A run's course once it may begin: locks, stages, messages from other terminals, `finally`, verdict.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use super::back;
use super::exit::{verdict, word};
use super::host::{controller_name, identity_text};
use super::lookout::Lookout;
use super::run::{Halt, Run};
use super::session::{Course, Session, counted, locked, too_many_lost};
use super::stage::{Flow, stages, stretches};
use super::steps::{End, Walk};
use super::survey::Survey;
use super::undo;
use crate::connection::LockError;
use crate::event::{Event, Fate, RunEnd, RunPhase};
use crate::id::{HostName, Phase};
use crate::journal::Message;
use crate::plan::Checked;

/// Locks, stages, finally, verdict.
pub(super) async fn drive(
    run: &Run,
    survey: &mut Survey,
    checked: &Checked,
    events: Vec<Event>,
    course: &Course,
    takeover: impl Fn(&HostName) -> bool,
    lookout: &Lookout,
) -> Result<Result<u8, Session>, Halt> {
    let before = {
        let state = run.state();
        state.began.as_ref().map(|_| state.phase)
    };
    // What was said to an earlier controller of this run is not for this one.
    let heard = match &run.journal {
        Some(journal) => journal.inbox(&run.id, 0).await?.last().map_or(0, |(id, _)| *id),
        None => 0,
    };
    run.emit(events).await?;
    if !run.check_mode()
        && let Err(session) = lock(run, survey, checked, before.is_some(), takeover).await?
    {
        let ended = match before {
            None => Some((RunEnd::Refused, session.exit)),
            // What is taken up again stays what it was.
            Some(RunPhase::Ended(how, exit)) => Some((how, exit)),
            Some(RunPhase::Running | RunPhase::Closed) => None,
        };
        run.emit(
            ended
                .map(|(how, exit)| Event::RunEnded { how, exit })
                .into_iter()
                .collect(),
        )
        .await?;
        return Ok(Err(session));
    }
    let playbook = &run.loaded.playbook;
    let work = async {
        let flow = match course {
            Course::Back(who, reason) => {
                let (who, reason) = (who.clone(), reason.clone());
                run.emit(vec![Event::RollbackBegan { who, reason }]).await?;
                back::all(run).await?
            }
            Course::On | Course::Close(..) => stages(run, &playbook.stages, None, None).await?,
        };
        if let Flow::Broken(text) = &flow {
            run.emit(vec![Event::Note {
                text: run.loaded.redactor.clean(text),
            }])
            .await?;
        }
        let aborted = run.aborted.get().is_some();
        run.putting_back.store(aborted, Ordering::SeqCst);
        if aborted || matches!(flow, Flow::On | Flow::Failed | Flow::Broken(_)) {
            undo::rest(run).await?;
        }
        if !matches!(flow, Flow::Stopped) {
            let outcome = match course {
                Course::Back(..) => "rolled_back",
                Course::On | Course::Close(..) => word(verdict(&run.state(), &flow, None).1),
            };
            finally(run, outcome).await?;
        }
        Ok::<Flow, Halt>(flow)
    };
    let flow = tokio::select! {
        flow = work => flow?,
        () = lookout.detach.cancelled() => Flow::Stopped,
        halt = listen(run, heard) => return Err(halt),
        halt = run.outed() => return Err(halt),
    };
    let (mut how, mut exit) = verdict(&run.state(), &flow, lookout.code().or(run.aborted.get().map(|_| 143)));
    let mut closed = run
        .aborted
        .get()
        .map(|(who, reason)| ("abort", who.clone(), reason.clone()));
    if let (Course::Back(who, reason), Flow::On, RunEnd::Failed | RunEnd::Done) = (course, &flow, how)
        && run.state().left_open.is_empty()
        && run.state().failed(Phase::Finally).next().is_none()
    {
        // Hosts that were taken back are no failure of this session.
        exit = 0;
        closed = closed.or_else(|| Some(("rollback", who.clone(), reason.clone())));
    }
    if closed.is_some() {
        how = RunEnd::Closed;
    }
    if let Flow::Paused(text) = &flow {
        run.emit(vec![Event::Note {
            text: format!("paused: {}", run.loaded.redactor.clean(text)),
        }])
        .await?;
    }
    // Before the end is written: a run that is over holds no lock, wherever its controller is killed.
    if !run.check_mode() && !lookout.detach.is_cancelled() {
        let over = matches!(how, RunEnd::Done | RunEnd::Failed | RunEnd::Closed);
        join_all(run.hosts.values().map(|host| async move {
            host.flush().await;
            if over && let Some(link) = host.current().await {
                let _ = link.unlock().await;
            }
        }))
        .await;
    }
    let mut last = Vec::new();
    if let Some((verb, who, reason)) = &closed {
        let text = format!("closed by {who} with `refit {verb}`: {reason}");
        last.push(Event::Note {
            text: run.loaded.redactor.clean(&text),
        });
    }
    last.push(Event::RunEnded { how, exit });
    last.extend(closed.map(|(_, who, reason)| Event::RunClosed { who, reason }));
    run.emit(last).await?;
    Ok(Ok(exit))
}

/// Takes messages from other terminals. Gives only the error that ends the run.
async fn listen(run: &Run, mut heard: i64) -> Halt {
    let Some(journal) = &run.journal else {
        return std::future::pending().await;
    };
    loop {
        match journal.inbox(&run.id, heard).await {
            Ok(messages) => {
                for (id, message) in messages {
                    heard = id;
                    if let Err(halt) = take(run, message).await {
                        return halt;
                    }
                }
            }
            Err(e) => return e.into(),
        }
        tokio::time::sleep(INBOX).await;
    }
}

async fn take(run: &Run, message: Message) -> Result<(), Halt> {
    let event = match message {
        Message::Abort { who, reason } => {
            let _ = run.aborted.set((who, reason));
            run.stop.cancel();
            return Ok(());
        }
        Message::Hold { who, reason } => Event::Held { who, reason },
        Message::Go { who, reason } => Event::Released { who, reason },
        Message::Exclude { who, host, reason } => exclusion(&host, &who, &reason),
    };
    run.emit(vec![event]).await
}

/// What the journal says of a host that somebody takes out of a run.
pub(super) fn exclusion(host: &HostName, who: &str, reason: &str) -> Event {
    Event::HostDecided {
        host: host.clone(),
        stage: String::new(),
        fate: Fate::Excluded,
        reason: format!("{reason} ({who})"),
    }
}

/// Between two looks into the inbox.
const INBOX: Duration = Duration::from_millis(300);

/// Takes the lock of every host that answers: first the one with the smallest identity, so that of two controllers
/// one gets all and the other none.
async fn lock(
    run: &Run,
    survey: &mut Survey,
    checked: &Checked,
    resumed: bool,
    takeover: impl Fn(&HostName) -> bool,
) -> Result<Result<(), Session>, Halt> {
    let who = controller_name();
    let mut order: Vec<(HostName, String)> = survey
        .looks
        .iter()
        .map(|(host, look)| (host.clone(), identity_text(&look.identity)))
        .collect();
    order.sort_by(|a, b| a.1.cmp(&b.1));
    let take = |host: HostName| {
        let who = who.clone();
        let takeover = takeover(&host);
        async move {
            let on = run.host(&host)?;
            let link = on.current().await?;
            let result = on.lock(&link, &run.id, run.epoch, &who, takeover).await;
            Some((host, result))
        }
    };
    let unusable = |result: &Result<_, LockError>| matches!(result, Err(LockError::StateDir(_) | LockError::Lost(_)));
    let mut taken = Vec::new();
    let mut results = Vec::new();
    let mut rest = order.iter();
    for (host, _) in rest.by_ref() {
        results.extend(take(host.clone()).await);
        // Of a host that cannot be locked at all nobody has the lock: the next one decides who is first.
        if !results.last().is_some_and(|(_, result)| unusable(result)) {
            break;
        }
    }
    if results.iter().all(|(_, result)| result.is_ok() || unusable(result)) {
        let rest = rest.map(|(host, _)| take(host.clone()));
        results.extend(join_all(rest).await.into_iter().flatten());
    }
    let mut without = Vec::new();
    let mut refused = None;
    for (host, result) in results {
        match result {
            Ok(held) => taken.push((host, held)),
            Err(LockError::HeldBy(holder)) => refused = refused.or(Some(locked(&host, &holder))),
            Err(LockError::Stale { fence }) => {
                refused = refused.or(Some(Session::because(
                    7,
                    format!("{host}: another controller has been here since (its fence is {fence})"),
                    &["--takeover REASON takes the host over".into()],
                )));
            }
            Err(e) => {
                survey
                    .give_up(host.clone(), run.loaded.redactor.clean(&e.to_string()))
                    .await;
                without.push(host);
            }
        }
    }
    if !without.is_empty() && !resumed && refused.is_none() {
        refused = too_many_lost(checked, survey).err().map(|e| Session::refused(1, e));
    }
    if let Some(session) = refused {
        join_all(
            taken
                .iter()
                .filter_map(|(host, _)| run.host(host))
                .map(|on| async move {
                    if let Some(link) = on.current().await {
                        let _ = link.unlock().await;
                    }
                }),
        )
        .await;
        return Ok(Err(session));
    }
    let mut events = Vec::new();
    if !resumed {
        // A run that goes on finds out where it comes to them.
        for host in &without {
            events.extend(counted(survey, checked, host));
        }
    }
    for (host, held) in taken {
        if let Some(holder) = &held.taken_from {
            events.push(Event::Note {
                text: format!("{host} was taken over from run {} of {}", holder.run, holder.controller),
            });
        }
        events.push(Event::HostSurveyed {
            host,
            identity: identity_text(&held.identity),
            boot: held.boot_id,
        });
    }
    run.emit(events).await?;
    Ok(Ok(()))
}

/// Once per host that the run touched and that answers.
async fn finally(run: &Run, outcome: &str) -> Result<(), Halt> {
    let steps: Vec<&crate::playbook::Step> = run.loaded.playbook.finally.iter().collect();
    if steps.is_empty() {
        return Ok(());
    }
    let hosts: Vec<HostName> = {
        let state = run.state();
        state
            .hosts
            .iter()
            .filter(|(_, host)| host.touched || (run.check_mode() && host.fate.is_none()))
            .map(|(name, _)| name.clone())
            .collect()
    };
    let walk = Walk {
        run,
        instance: None,
        path: "finally",
        phase: Phase::Finally,
        batch: &hosts,
        outcome,
        for_all: false,
        deadline: None,
    };
    let walk = &walk;
    let answering = join_all(hosts.iter().map(|host| async move {
        match run.host(host) {
            Some(on) => on.current().await.is_some() || on.link(run).await.is_ok(),
            None => false,
        }
    }))
    .await;
    let mut left: Vec<&HostName> = hosts
        .iter()
        .zip(answering)
        .filter_map(|(host, answers)| answers.then_some(host))
        .collect();
    for stretch in stretches(&steps, false) {
        let part = &steps[stretch];
        let asked = if part[0].run_once || part[0].kind.name() == "pause" {
            left.len().min(1)
        } else {
            left.len()
        };
        let ends = join_all(left[..asked].iter().map(|host| walk.steps(host, part))).await;
        let mut on = Vec::new();
        for (host, end) in left.iter().zip(ends) {
            if end? == End::Done {
                on.push(*host);
            }
        }
        on.extend(&left[asked..]);
        left = on;
    }
    Ok(())
}
