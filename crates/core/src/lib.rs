//! The engine of Tetralog, an embedded event store.
//!
//! One log of events; each event has four coordinates (entity, fact, scope, clock), and each of them is
//! indexed. The engine knows no JavaScript, no async runtime and no network. `docs/ARCHITECTURE.md`
//! is the map, `docs/format.md` the format on disk.
//!
//! ```
//! use tetralog_core::{AppendOptions, NewEvent, Store, StoreOptions};
//!
//! let store = Store::memory(StoreOptions::default())?;
//! let event = NewEvent {
//!     entity: "order:1",
//!     fact: "placed",
//!     content_type: "text/plain",
//!     payload: b"three apples",
//!     ..NewEvent::default()
//! };
//! let receipt = store.append(&[event], &AppendOptions::default())?;
//! assert_eq!(receipt.positions, Some((0, 0)));
//! assert_eq!(store.version("order:1")?, Some(0));
//! # Ok::<(), tetralog_core::Error>(())
//! ```
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod catalog;
mod chain;
mod checksum;
mod codec;
mod error;
mod event;
mod filter;
mod follower;
mod frame;
pub mod fs;
mod head;
mod host;
mod index;
mod keeper;
pub mod limits;
mod manifest;
mod names;
mod options;
mod progress;
mod query;
mod record;
mod recovery;
mod repair;
mod segment;
mod shared;
mod store;
mod submission;
mod upkeep;
mod view;
mod writer;

pub use chain::{Digester, Digestible, GENESIS, Hash, MetadataKind, content_hash, link};
pub use error::{Damage, Error, Expected, Result, Written, format_uuid};
pub use event::NewEvent;
pub use filter::{ClockRange, Filter, Pattern};
pub use host::{Host, SystemHost};
pub use options::StoreOptions;
pub use progress::{OpenProgress, Progress, Unobserved};
pub use query::{
    Batch, BatchEvent, Explanation, Order, Read, ReadSpec, Source, Subject, Verification,
    VerifyProgress, VerifyReport,
};
pub use recovery::Recovery;
pub use repair::{Action, RepairReport, RepairStep, repair, repair_with};
pub use store::{Store, StoreStats};
pub use submission::{AppendOptions, Condition, Durability, SubmissionBuilder, set_length};
pub use writer::{Outcome, OutcomeSink, Receipt};
