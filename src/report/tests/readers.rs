//! Readers that are slow, gone, or impatient.

use jiff::tz::TimeZone;

use super::super::json::Json;
use super::super::plain::Plain;
use super::super::writer::Writer;
use super::terminal::screen;
use super::*;

#[test]
fn a_long_silence_says_what_runs() {
    let paper = Paper::default();
    let mut plain = Plain::with_pulse(false, TimeZone::UTC, paper.clone(), Duration::from_millis(50));
    let mut state = RunState::new(run());
    play(
        &mut plain,
        &mut state,
        vec![
            (0.0, began(&["a", "b"])),
            (0.0, stage("swap", "Swap", &["a", "b"])),
            (0.0, begins(unit("swap", "flip", "a"), "Flip")),
        ],
    );
    let shown = wait_for(&paper, "..           Swap: 1 running, 0 done of 2 hosts");
    assert!(shown.iter().any(|line| line.contains("; a: Flip")), "{shown:#?}");
    play(&mut plain, &mut state, vec![(1.0, over(RunEnd::Done, 0))]);
    wait_for(&paper, "(exit 0)");
    std::thread::sleep(Duration::from_millis(200));
    drop(plain);
    let text = paper.text();
    assert!(
        text.trim_end().ends_with("(exit 0)"),
        "nothing beats after the end: {text}"
    );
}

pub(super) fn wait_for(paper: &Paper, what: &str) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let shown = screen(&paper.text());
        if shown.iter().any(|line| line.contains(what)) {
            return shown;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{what} is not on the screen: {shown:#?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_went_away_is_no_trouble() {
    let mut plain = Plain::new(false, TimeZone::UTC, Gone);
    play(&mut plain, &mut RunState::new(run()), good_run());
    let mut json = Json::new(Writer::new(Gone));
    play(&mut json, &mut RunState::new(run()), good_run());
}

struct Slow(std::sync::mpsc::Receiver<()>, Paper);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv();
        self.1.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_reads_nothing_holds_up_no_run() {
    let (gate, closed) = std::sync::mpsc::channel();
    let paper = Paper::default();
    let mut json = Json::new(Writer::new(Slow(closed, paper.clone())));
    play(&mut json, &mut RunState::new(run()), bad_run());
    assert_eq!(paper.text(), "", "nothing was read, and every event was seen");
    drop(gate);
    drop(json);
    assert!(paper.text().lines().last().unwrap().contains("recap"));
}
