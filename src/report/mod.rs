//!

use crate::event::*;
struct Plain;
impl Watch for Plain {
    fn see(&mut self, record: &Record, _: &RunState) {
        println!("{}", serde_json::to_string(record).unwrap_or_default());
    }
}
pub(crate) fn json() -> Box<dyn Watch> { Box::new(Plain) }
pub(crate) fn text(_: bool) -> Box<dyn Watch> { Box::new(Plain) }
