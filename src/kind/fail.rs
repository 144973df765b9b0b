//! Fails, with a message.
//!
//!     - fail: "this host still has {{ r.stdout }} connections"
//!       when: r.stdout | int > 0

use serde_json::json;

use super::{Action, Context, Failure, Kind, Param, Params, Ty, list};
use crate::yaml::Diagnostics;

pub(super) struct Fail;
pub(super) static KIND: Fail = Fail;

const PARAMS: &[Param] = &[Param::new("msg", Ty::Text, "why; default \"Failed as requested\"")];

impl Kind for Fail {
    fn name(&self) -> &'static str {
        "fail"
    }

    fn manual(&self) -> &'static str {
        list::manual!("fail.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["msg"]
    }

    fn text_param(&self) -> Option<&'static str> {
        Some("msg")
    }

    fn reads_only(&self) -> bool {
        true
    }

    fn lint(&self, _params: &Params, _context: &Context<'_>) -> Diagnostics {
        Diagnostics::default()
    }

    fn action(&self, params: &Params, _context: &Context<'_>) -> Result<Action, Diagnostics> {
        let message = params.text("msg").unwrap_or_else(|| "Failed as requested".to_owned());
        Ok(Action::Answer(Err(
            Failure::new(message.clone()).with(json!({ "msg": message }))
        )))
    }
}
