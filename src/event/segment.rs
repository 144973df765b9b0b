use serde::{Deserialize, Serialize};

/// A part of a step that takes effect as a whole, or not at all: a schema version's transaction or single statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// `1.13/2`: version and index.
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) state: SegmentState,
    /// For a person.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SegmentState {
    Intent,
    Done,
}
