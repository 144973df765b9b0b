//! Plain lines, for pipes, files and CI: no colour, nothing that moves.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::board::Board;
use super::story::Story;
use super::writer::Writer;
use crate::event::{Record, RunState, Watch};

/// A log that stays silent for longer looks dead, and some CI takes it for that.
const PULSE: Duration = Duration::from_secs(60);

pub(super) struct Plain {
    story: Story,
    zone: TimeZone,
    board: Arc<Mutex<Board>>,
    out: Writer,
    day: Option<Date>,
}

impl Plain {
    pub(super) fn new(diff: bool, zone: TimeZone, out: impl Write + Send + 'static) -> Plain {
        Plain::with_pulse(diff, zone, out, PULSE)
    }

    /// `every`: how long nothing may be written before it is said what runs.
    pub(super) fn with_pulse(diff: bool, zone: TimeZone, out: impl Write + Send + 'static, every: Duration) -> Plain {
        let board = Arc::new(Mutex::new(Board::default()));
        let (watched, place) = (Arc::clone(&board), zone.clone());
        let say = move || {
            let line = lock(&watched).pulse(Instant::now())?;
            let time = Timestamp::now()
                .to_zoned(place.clone())
                .strftime("%H:%M:%S")
                .to_string();
            Some(line.render(&time, false))
        };
        Plain {
            story: Story::new(diff, true),
            board,
            zone,
            out: Writer::with_pulse(out, Some((every, Box::new(say)))),
            day: None,
        }
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Watch for Plain {
    fn see(&mut self, record: &Record, state: &RunState) {
        lock(&self.board).see(record, state, Instant::now());
        let lines = self.story.tell(record, state);
        if lines.is_empty() {
            return;
        }
        let at = record.at.to_zoned(self.zone.clone());
        // A window goes over midnight: the times alone would not say which day.
        if self.day.replace(at.date()) != Some(at.date()) {
            self.out.line(at.strftime("%Y-%m-%d %Z").to_string());
        }
        let time = at.strftime("%H:%M:%S").to_string();
        for line in lines {
            self.out.line(line.render(&time, false));
        }
    }
}
