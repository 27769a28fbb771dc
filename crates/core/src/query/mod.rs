//! Reading: where events are found (`plan`), and how they are handed out (`batch`).

mod batch;
mod clock_order;
mod entities;
mod fetch;
mod interrupt;
mod known;
mod passed;
mod plan;
mod read;
mod recent;
mod search;
mod source;
mod spec;
mod stream;
mod verify;

pub use batch::{Batch, BatchEvent};
pub use read::{Explanation, Read};
pub use source::Source;
pub use spec::{Order, ReadSpec, Subject};
pub use verify::{Verification, VerifyProgress, VerifyReport};

pub(crate) use fetch::single;
pub(crate) use plan::{FirstMatch, first_match};
