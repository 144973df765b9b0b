//! A terminal: the story scrolls by, and below it stands what runs now. One thread draws, ten times a second at most.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::tz::TimeZone;

use super::board::Board;
use super::story::Story;
use crate::event::{Event, Record, RunState, Watch};

/// Between two drawings.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Terminal {
    story: Story,
    zone: TimeZone,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    desk: Mutex<Desk>,
    bell: Condvar,
}

/// What is to be drawn.
#[derive(Default)]
struct Desk {
    board: Board,
    lines: Vec<String>,
    over: bool,
    /// A person types a line: what is drawn now would tear it.
    asked: Asked,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    No,
    /// The prompt waits to be drawn with what came before it.
    Prompt,
    /// It is drawn; nothing else is.
    Typing,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits for the next tick, or for the end: lines of the story, what stands below it, and whether this is the end.
    fn take(&self, width: usize, rows: usize) -> (Vec<String>, String, bool) {
        let desk = self.desk();
        let mut desk = match self.bell.wait_timeout_while(desk, TICK, |desk| !desk.over) {
            Ok((desk, _)) => desk,
            Err(poisoned) => poisoned.into_inner().0,
        };
        match desk.asked {
            Asked::No => {}
            Asked::Prompt => {
                desk.asked = Asked::Typing;
                return (std::mem::take(&mut desk.lines), String::new(), desk.over);
            }
            Asked::Typing if !desk.over => return (Vec::new(), String::new(), false),
            Asked::Typing => {}
        }
        let foot = desk.board.lines(Instant::now(), width, rows, true).join("\n");
        (std::mem::take(&mut desk.lines), foot, desk.over)
    }
}

impl Terminal {
    /// None where no thread could be started.
    pub(super) fn stdout(diff: bool, zone: TimeZone) -> Option<Terminal> {
        let size = || {
            let (rows, width) = console::Term::stdout().size();
            (usize::from(width), usize::from(rows))
        };
        Terminal::new(
            diff,
            zone,
            ProgressDrawTarget::stdout_with_hz(20),
            size,
            std::io::stdout(),
        )
    }

    /// `size` gives columns and rows and is asked before each drawing; `scroll` is where the story goes, on the screen
    /// of `target`.
    pub(super) fn new(
        diff: bool,
        zone: TimeZone,
        target: ProgressDrawTarget,
        size: impl Fn() -> (usize, usize) + Send + 'static,
        scroll: impl Write + Send + 'static,
    ) -> Option<Terminal> {
        let shared = Arc::new(Shared::default());
        let drawn = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("terminal".into())
            .spawn(move || draw(&drawn, target, size, scroll))
            .ok()?;
        Some(Terminal {
            story: Story::new(diff, false),
            zone,
            shared,
            thread: Some(thread),
        })
    }
}

impl Watch for Terminal {
    fn see(&mut self, record: &Record, state: &RunState) {
        let lines = self.story.tell(record, state);
        let time = record.at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        let mut desk = self.shared.desk();
        desk.lines.extend(lines.iter().map(|line| line.render(&time, true)));
        desk.board.see(record, state, Instant::now());
        match &record.event {
            Event::Asked { .. } => desk.asked = Asked::Prompt,
            Event::Answered { .. } => desk.asked = Asked::No,
            _ => {}
        }
    }
}

impl Drop for Terminal {
    /// Waits until all is drawn, and leaves nothing that moves behind.
    fn drop(&mut self) {
        self.shared.desk().over = true;
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn draw(shared: &Shared, target: ProgressDrawTarget, size: impl Fn() -> (usize, usize), mut scroll: impl Write) {
    let screen = MultiProgress::with_draw_target(target);
    // All lines are one bar's message: a tick is one drawing, however many hosts run.
    let bar = screen.add(ProgressBar::new_spinner());
    bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let mut shown = String::new();
    loop {
        let (width, rows) = size();
        let (mut lines, foot, over) = shared.take(width, rows);
        if over {
            bar.finish_and_clear();
        } else if foot != shown {
            bar.set_message(foot.clone());
            shown = foot;
        }
        if !lines.is_empty() {
            lines.push(String::new());
            // Not indicatif's println: it fills each line with blanks up to the edge, which a narrower window wraps and
            // a copied command carries along. A terminal that is gone is no trouble.
            screen.suspend(|| {
                let _ = scroll
                    .write_all(lines.join("\n").as_bytes())
                    .and_then(|()| scroll.flush());
            });
        }
        if over {
            return;
        }
    }
}
