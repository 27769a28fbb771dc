//! Reading: where events are found (`plan`), and how they are handed out (`batch`).

mod batch;
mod clock_order;
mod entities;
mod fetch;
mod interrupt;
mod links;
mod plan;
mod read;
mod search;
mod spec;
mod stream;
mod verify;

pub use batch::{Batch, BatchEvent};
pub use links::Links;
pub use read::{Explanation, Read};
pub use spec::{Order, ReadSpec, Subject};
pub use verify::{Verification, VerifyProgress, VerifyReport};

pub(crate) use fetch::single;
pub(crate) use plan::{FirstMatch, first_match};
