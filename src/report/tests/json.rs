use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::json::Json;
use super::super::writer::Writer;
use super::*;

fn json_lines(events: Vec<(f64, Event)>) -> Vec<Value> {
    let paper = Paper::default();
    let mut watch = Json::new(Writer::new(paper.clone()));
    play(&mut watch, &mut RunState::new(run()), events);
    drop(watch);
    paper
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn json_is_one_object_a_line_and_the_recap_last() {
    let lines = json_lines(bad_run());
    for line in &lines {
        assert_eq!(line["run"], json!(run()), "{line}");
        assert!(line["at"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{line}");
        assert!(line["event"].is_string());
    }
    let zero = json!({"ok": 0, "changed": 0, "skipped": 0, "failed": 0, "unreachable": 0, "unknown": 0});
    let with = |pairs: &[(&str, u64)]| {
        let mut counts = zero.clone();
        pairs.iter().for_each(|(name, number)| counts[*name] = json!(number));
        counts
    };
    let last = lines.last().unwrap();
    let expected = json!({
        "event": "recap", "run": run(), "at": last["at"], "exit": 2,
        "hosts": {
            "web1": with(&[("changed", 1), ("failed", 1)]),
            "web2": with(&[("failed", 1), ("unreachable", 1)]),
            "web3": with(&[("failed", 1)]),
            "web4": with(&[("unreachable", 1)]),
            "web5": zero,
            "web6": zero,
        },
    });
    assert_eq!(*last, expected);
    assert_eq!(lines[lines.len() - 2]["event"], "run_ended");
}

#[test]
fn json_units_are_flat() {
    let lines = json_lines(good_run());
    let find = |event: &str, step: &str, on: &str| {
        lines
            .iter()
            .find(|l| l["event"] == event && l["step"] == step && l["host"] == on)
            .unwrap()
            .clone()
    };
    let tell = find("unit_ended", "tell", "web2");
    assert_eq!(tell["unit"], "swap/tell[1]@web2");
    assert_eq!(
        (&tell["stage"], &tell["phase"], &tell["item"]),
        (&json!("swap"), &json!("step"), &json!(1))
    );
    assert_eq!(
        (&tell["item_value"], &tell["outcome"], &tell["attempt"]),
        (&json!("blue"), &json!("ok"), &json!(1))
    );
    assert_eq!(tell["message"], "first line\nsecond line");
    let again = find("intent", "flip", "web2");
    assert_eq!(
        (&again["attempt"], &again["outcome"], &again["item"]),
        (&json!(2), &Value::Null, &Value::Null)
    );
    let sent = find("progress", "flip", "web1");
    assert_eq!(sent["bytes"], json!([1_048_576, 94_371_840]));
    assert_eq!(sent.get("seq"), None);
    assert!(find("unit_began", "dump", "web1")["title"] == "Dump");
    assert!(
        find("unit_ended", "flip", "web1")["diff"]
            .as_str()
            .unwrap()
            .contains("+port: 2")
    );
}
