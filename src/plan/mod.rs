//!

pub(crate) mod serial;
