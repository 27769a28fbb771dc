//! Point reads on the JavaScript thread. They are functions that take a handle, because finding the object of a
//! method costs napi nearly what the read does.
#![expect(clippy::needless_pass_by_value, reason = "napi hands arguments over by value")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use napi::Result;
use napi_derive::napi;
use tetralog_core::{Error, Store};

use crate::convert::to_js;
use crate::store::{Out, WOULD_WAIT, whole};

static HANDLES: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The open stores of the thread, which has one environment of JavaScript.
    static OPEN: RefCell<HashMap<u32, Arc<Store>>> = RefCell::default();
}

/// Gives an open store its handle.
pub fn register(store: &Arc<Store>) -> u32 {
    let handle = HANDLES.fetch_add(1, Ordering::Relaxed);
    OPEN.with_borrow_mut(|open| open.insert(handle, Arc::clone(store)));
    handle
}

/// Lets go of a store. Its thread may be about to end, and the table be gone.
pub fn forget(handle: u32) {
    let _ = OPEN.try_with(|open| open.borrow_mut().remove(&handle));
}

/// Puts the newest event of an entity into `out` from `at` on, as a packed batch: its length, 0 if
/// there is none, -1 if that would mean waiting, -n if there is no room for the n bytes.
#[napi(catch_unwind)]
pub fn latest_now(
    store: u32,
    entity: String,
    #[napi(ts_arg_type = "Uint8Array")] out: Out<'_>,
    at: u32,
) -> Result<i32> {
    let length = at_once(store, |store| store.with_latest(&entity, |batch| place(batch, out, at)))?;
    Ok(length.map_or(WOULD_WAIT, Option::unwrap_or_default))
}

/// The event at a position, as `latest_now` gives it.
#[napi(catch_unwind)]
pub fn event_now(
    store: u32,
    position: f64,
    #[napi(ts_arg_type = "Uint8Array")] out: Out<'_>,
    at: u32,
) -> Result<i32> {
    let position = whole(position);
    let length = at_once(store, |store| store.with_event(position, |batch| place(batch, out, at)))?;
    Ok(length.map_or(WOULD_WAIT, Option::unwrap_or_default))
}

/// The newest version of an entity: -1 for none, NaN if asking would mean waiting.
#[napi(catch_unwind)]
pub fn version_now(store: u32, entity: String) -> Result<f64> {
    let version = at_once(store, |store| store.version(&entity))?;
    Ok(version.map_or(f64::NAN, |version| version.map_or(-1.0, |version| version as f64)))
}

/// Runs a read on this thread, unless it would wait.
fn at_once<T>(
    handle: u32,
    read: impl FnOnce(&Store) -> tetralog_core::Result<T>,
) -> Result<Option<T>> {
    OPEN.with_borrow(|open| {
        let store = open.get(&handle).ok_or(Error::Closed);
        store.and_then(|store| store.without_waiting(read)).map_err(|error| to_js(&error))
    })
}

/// Copies a batch to where JavaScript wants it: its length, negative if there is no room.
fn place(batch: &[u8], out: &mut [u8], at: u32) -> i32 {
    let length = i32::try_from(batch.len()).unwrap_or(i32::MAX);
    let room = out.get_mut(at as usize..).and_then(|rest| rest.get_mut(..batch.len()));
    room.map_or(-length, |room| {
        room.copy_from_slice(batch);
        length
    })
}
