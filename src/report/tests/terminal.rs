use indicatif::{ProgressDrawTarget, TermLike};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::super::board::Board;
use super::super::terminal::Terminal;
use super::plain::plain;
use super::readers::wait_for;
use super::*;

struct BoardWatch<'a>(&'a mut Board, Instant);

impl Watch for BoardWatch<'_> {
    fn see(&mut self, record: &Record, state: &RunState) {
        self.0.see(record, state, self.1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a host, a playbook or a person wrote.
    #[test]
    fn nothing_controls_the_terminal(
        text in "(\\PC|[\\x00-\\x1f\\x7f-\\u{9f}\\u{202a}-\\u{202e}\\u{2066}-\\u{2069}\\r\\n\\x1b]){0,60}",
    ) {
        let odd = unit(&text, &text, "a");
        let mut began = plan(&["a"]);
        began.name = text.clone();
        began.excluded = vec![(host("b"), text.clone())];
        let events = |diff: bool| {
            let all = |e: &mut UnitEnded| {
                e.title = text.clone();
                e.kind = text.clone();
                e.message = Some(text.clone());
                e.command = Some(text.clone());
                e.diff = diff.then(|| text.clone());
                e.item = Some(json!(text));
                e.result = json!({"rc": text, "stdout": text, "stderr": text});
            };
            vec![
                (0.0, Event::RunBegan(Box::new(began.clone()))),
                (0.0, Event::HostLost { host: host("a"), cause: text.clone() }),
                (0.0, stage(&text, &text, &["a"])),
                (0.0, waits(odd.clone(), &text)),
                (0.1, end(odd.clone(), "x", Outcome::Failed, all)),
                (0.1, end(unit(&text, "y", "a"), "debug", Outcome::Ok, all)),
                (0.1, end(unit(&text, "z", "a"), "x", Outcome::Unknown, all)),
                (0.1, end(unit(&text, "w", "a"), "x", Outcome::Changed, all)),
                (0.2, Event::Note { text: text.clone() }),
                (0.2, decided("a", &text, Fate::Broken, &text)),
                (0.2, Event::Decision { unit: odd.clone(), done: true, who: text.clone(), reason: text.clone() }),
                (0.3, ends(&text, StageEnd::Skipped(text.clone()))),
                (0.4, over(RunEnd::Unknown, 4)),
            ]
        };
        let harmful = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
        let shown = plain(true, events(true));
        prop_assert!(!shown.contains(harmful), "{:?}", shown);

        let colours = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
        let mut board = Board::default();
        let mut state = RunState::new(run());
        let now = Instant::now();
        let mut seen = BoardWatch(&mut board, now);
        play(&mut seen, &mut state, events(true).into_iter().take(4));
        let lines = board.lines(now, 80, 24, true);
        prop_assert!(!lines.is_empty());
        for line in lines {
            let left = colours.replace_all(&line, "").into_owned();
            prop_assert!(!left.contains(|c| c == '\n' || harmful(c)), "{:?}", line);
        }
    }
}

#[test]
fn the_board_shows_who_does_what() {
    let mut board = Board::default();
    let mut state = RunState::new(run());
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let flip = |on| unit("swap", "flip", on);
    play(
        &mut BoardWatch(&mut board, at(0)),
        &mut state,
        vec![
            (0.0, began(&["a", "b", "c", "d"])),
            (0.0, stage("swap", "Swap the server", &["a", "b", "c", "d"])),
            (
                0.0,
                Event::BatchBegan {
                    stage: "swap".into(),
                    batch: 0,
                    batches: 2,
                    hosts: hosts(&["a", "b", "c"]),
                },
            ),
            (0.0, begins(flip("a"), "Flip to 2.0")),
            (0.0, begins(flip("b"), "Flip to 2.0")),
            (0.0, begins(unit("swap", "wait", "b"), "Wait for health")),
            (0.0, begins(flip("c"), "Flip to 2.0")),
            (
                0.0,
                Event::Progress {
                    unit: flip("a"),
                    text: "sending ledger".into(),
                    bytes: Some((1_048_576, 94_371_840)),
                },
            ),
            (0.0, decided("c", "swap", Fate::Failed, "no")),
        ],
    );
    insta::assert_snapshot!(board.lines(at(3), 80, 24, false).join("\n"), @r#"
  a   0:03  Flip to 2.0: sending ledger 1.0 of 90.0 MiB
  b   0:03  Flip to 2.0
Swap the server, batch 1 of 2: 2 running, 0 done, 1 failed of 4 hosts  0:03
"#);
    play(
        &mut BoardWatch(&mut board, at(5)),
        &mut state,
        vec![
            (5.0, end(flip("b"), "swap", Outcome::Changed, |_| {})),
            (5.0, end(flip("a"), "swap", Outcome::Changed, |_| {})),
            (5.0, waits(unit("swap", "wait", "b"), "connection refused, 55 s left")),
        ],
    );
    insta::assert_snapshot!(board.lines(at(7), 64, 24, false).join("\n"), @r#"
  b   0:02  Wait for health: connection refused, 55 s left
Swap the server, batch 1 of 2: 1 running, 1 done, 1 failed of …
"#);
    play(
        &mut BoardWatch(&mut board, at(9)),
        &mut state,
        vec![(9.0, ends("swap", StageEnd::Done))],
    );
    assert!(board.lines(at(9), 80, 24, false).is_empty());
}

#[test]
fn a_thousand_hosts_fit_any_screen() {
    let names: Vec<String> = (0..1000).map(|n| format!("rack-{n:04}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut board = Board::default();
    let mut state = RunState::new(run());
    let now = Instant::now();
    let mut events = vec![(0.0, began(&names)), (0.0, stage("swap", "Swap", &names))];
    events.extend(names.iter().map(|name| {
        (
            0.0,
            begins(unit("swap", "flip", name), "Flip to a version with a long name"),
        )
    }));
    play(&mut BoardWatch(&mut board, now), &mut state, events);
    for (width, rows) in [(80, 24), (20, 10), (200, 60), (40, 3), (1, 1)] {
        let lines = board.lines(now, width, rows, true);
        assert!(
            lines.len() <= rows.saturating_sub(3).max(2),
            "{} lines on {rows} rows",
            lines.len()
        );
        for line in &lines {
            assert!(
                console::measure_text_width(line) <= width.max(10),
                "{line:?} is wider than {width}"
            );
        }
        let text = console::strip_ansi_codes(&lines.join("\n")).into_owned();
        assert!(rows < 20 || text.contains("1000 running"), "{text}");
    }
}

#[derive(Debug)]
struct Screen(Paper);

impl TermLike for Screen {
    fn width(&self) -> u16 {
        80
    }
    fn height(&self) -> u16 {
        24
    }
    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        self.write_str(&format!("\x1b[{n}A"))
    }
    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        self.write_str(&format!("\x1b[{n}B"))
    }
    fn move_cursor_right(&self, n: usize) -> std::io::Result<()> {
        self.write_str(&format!("\x1b[{n}C"))
    }
    fn move_cursor_left(&self, n: usize) -> std::io::Result<()> {
        self.write_str(&format!("\x1b[{n}D"))
    }
    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.0.clone().write_all(text.as_bytes())
    }
    fn clear_line(&self) -> std::io::Result<()> {
        self.write_str("\r\x1b[2K")
    }
    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines that a terminal of 80 columns shows in the end.
pub(super) fn screen(bytes: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    let (mut row, mut chars) = (0usize, bytes.chars().peekable());
    let mut column = 0usize;
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                row += 1;
                column = 0;
            }
            '\r' => column = 0,
            '\x1b' => {
                assert_eq!(chars.next(), Some('['));
                let mut number = String::new();
                let last = loop {
                    match chars.next().unwrap() {
                        c if c.is_ascii_digit() || c == ';' => number.push(c),
                        c => break c,
                    }
                };
                let n: usize = number.parse().unwrap_or(0);
                match last {
                    'A' => row = row.saturating_sub(n),
                    'B' => row += n,
                    'K' => rows[row].clear(),
                    'm' | 'C' | 'D' => {}
                    other => panic!("an escape sequence of ours: {other}"),
                }
            }
            c => {
                if column == 80 {
                    row += 1;
                    column = 0;
                    rows.resize(rows.len().max(row + 1), String::new());
                }
                let mut text: Vec<char> = rows[row].chars().collect();
                text.resize(text.len().max(column), ' ');
                if column < text.len() {
                    text[column] = c;
                } else {
                    text.push(c);
                }
                rows[row] = text.into_iter().collect();
                column += 1;
            }
        }
        rows.resize(rows.len().max(row + 1), String::new());
    }
    rows.into_iter()
        .map(|row| row.trim_end().to_owned())
        .filter(|row| !row.is_empty())
        .collect()
}

#[test]
fn a_terminal_scrolls_the_story_and_keeps_what_runs_below_it() {
    let paper = Paper::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen(paper.clone())), 20);
    let mut terminal = Terminal::new(false, TimeZone::UTC, target, || (80, 24), paper.clone()).unwrap();
    let mut state = RunState::new(run());
    play(
        &mut terminal,
        &mut state,
        vec![
            (0.0, began(&["a", "b"])),
            (0.0, stage("swap", "Swap", &["a", "b"])),
            (0.0, begins(unit("swap", "flip", "a"), "Flip")),
            (0.0, begins(unit("swap", "flip", "b"), "Flip")),
        ],
    );
    let shown = wait_for(&paper, "2 running");
    let place = |what: &str| {
        shown
            .iter()
            .position(|line| line.contains(what))
            .unwrap_or_else(|| panic!("{what}: {shown:#?}"))
    };
    assert!(place("stage Swap on 2 hosts") < place("  Flip"), "{shown:#?}");
    play(
        &mut terminal,
        &mut state,
        vec![(
            0.1,
            end(unit("swap", "flip", "a"), "command", Outcome::Failed, |e| {
                e.message = Some("exit code 3".into())
            }),
        )],
    );
    let shown = wait_for(&paper, "exit code 3");
    let place = |what: &str| {
        shown
            .iter()
            .position(|line| line.contains(what))
            .unwrap_or_else(|| panic!("{what}: {shown:#?}"))
    };
    assert!(place("exit code 3") < place("  Flip"), "{shown:#?}");
    play(&mut terminal, &mut state, vec![(1.0, over(RunEnd::Failed, 2))]);
    drop(terminal);
    let shown = screen(&paper.text());
    assert!(
        !shown.iter().any(|line| line.ends_with("  Flip")),
        "what ran is gone: {shown:#?}"
    );
    assert!(shown.last().unwrap().contains("refit resume"), "{shown:#?}");
}

#[test]
fn only_a_terminal_that_can_is_drawn_on() {
    let lively = |set: &[(&str, &str)]| {
        super::super::lively(|name| {
            set.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        })
    };
    assert!(lively(&[("TERM", "xterm")]));
    assert!(lively(&[("TERM", "xterm"), ("NO_COLOR", ""), ("CI", "false")]));
    assert!(!lively(&[]));
    assert!(!lively(&[("TERM", "dumb")]));
    assert!(!lively(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
    assert!(!lively(&[("TERM", "xterm"), ("CI", "true")]));
}
