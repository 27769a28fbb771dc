//! Reading: where events are found (`plan`), and how they are handed out (`batch`).

mod batch;
mod clock_order;
mod entities;
mod plan;
mod read;
mod spec;
mod verify;

pub use batch::{Batch, BatchEvent};
pub use read::{Explanation, Read};
pub use spec::{Order, ReadSpec, Subject};
pub use verify::{Verification, VerifyProgress, VerifyReport};

pub(crate) use plan::{FirstMatch, first_match};
pub(crate) use read::single;
