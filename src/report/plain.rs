//! Plain lines, for pipes, files and CI: no colour, nothing that moves.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::story::Story;
use super::writer::Writer;
use crate::event::{Record, RunState, Watch};

pub(super) struct Plain {
    story: Story,
    zone: TimeZone,
    out: Writer,
    day: Option<Date>,
}

impl Plain {
    pub(super) fn new(diff: bool, zone: TimeZone, out: Writer) -> Plain {
        Plain {
            story: Story::new(diff, true),
            zone,
            out,
            day: None,
        }
    }
}

impl Watch for Plain {
    fn see(&mut self, record: &Record, state: &RunState) {
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
