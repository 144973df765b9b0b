//! A terminal: the story scrolls by, and below it stands what runs now. One thread draws, ten times a second at most.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::tz::TimeZone;

use super::board::Board;
use super::story::Story;
use crate::event::{Record, RunState, Watch};

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
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Terminal {
    /// None where no thread could be started.
    pub(super) fn stdout(diff: bool, zone: TimeZone) -> Option<Terminal> {
        let size = || {
            let (rows, width) = console::Term::stdout().size();
            (usize::from(width), usize::from(rows))
        };
        Terminal::new(diff, zone, ProgressDrawTarget::stdout_with_hz(20), size)
    }

    /// `size` gives columns and rows, asked before each drawing.
    pub(super) fn new(
        diff: bool,
        zone: TimeZone,
        target: ProgressDrawTarget,
        size: impl Fn() -> (usize, usize) + Send + 'static,
    ) -> Option<Terminal> {
        let shared = Arc::new(Shared::default());
        let drawn = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("terminal".into())
            .spawn(move || draw(&drawn, target, size))
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

fn draw(shared: &Shared, target: ProgressDrawTarget, size: impl Fn() -> (usize, usize)) {
    let screen = MultiProgress::with_draw_target(target);
    screen.set_move_cursor(true);
    // All lines are one bar's message: a tick is one drawing, however many hosts run.
    let bar = screen.add(ProgressBar::new_spinner());
    bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let mut foot = String::new();
    loop {
        let (lines, now, over) = {
            let desk = shared.desk();
            let desk = if desk.over {
                desk
            } else {
                match shared.bell.wait_timeout(desk, TICK) {
                    Ok((desk, _)) => desk,
                    Err(poisoned) => poisoned.into_inner().0,
                }
            };
            let mut desk = desk;
            let (width, rows) = size();
            let now = if desk.over { String::new() } else { desk.board.lines(Instant::now(), width, rows, true).join("\n") };
            (std::mem::take(&mut desk.lines), now, desk.over)
        };
        if over {
            bar.finish_and_clear();
        }
        if !lines.is_empty() {
            // A terminal that is gone is no trouble.
            let _ = screen.println(lines.join("\n"));
        }
        if over {
            return;
        }
        if now != foot {
            bar.set_message(now.clone());
            foot = now;
        }
    }
}
