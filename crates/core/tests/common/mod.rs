//! What the integration tests share.
#![allow(dead_code, reason = "each test uses its own share of it")]

pub(crate) mod images;
pub(crate) mod stopping;
pub(crate) mod watched;

use std::fs;
use std::path::{Path, PathBuf};

use tetralog_core::{
    AppendOptions, Batch, BatchEvent, Durability, Expected, Filter, NewEvent, ReadSpec, Receipt,
    Result, Store, StoreOptions, Subject,
};

/// Small segments, so that little data rotates often.
pub(crate) fn small() -> StoreOptions {
    StoreOptions { segment_max_bytes: 1 << 20, ..StoreOptions::default() }
}

pub(crate) fn relaxed() -> StoreOptions {
    StoreOptions { durability: Durability::None, ..StoreOptions::default() }
}

pub(crate) fn event<'a>(entity: &'a str, fact: &'a str, payload: &'a [u8]) -> NewEvent<'a> {
    let content_type = "application/octet-stream";
    NewEvent { entity, fact, content_type, payload, ..NewEvent::default() }
}

pub(crate) fn append(store: &Store, events: &[NewEvent<'_>]) -> Result<Receipt> {
    store.append(events, &AppendOptions::default())
}

pub(crate) fn expecting(
    store: &Store,
    events: &[NewEvent<'_>],
    expected: Expected,
) -> Result<Receipt> {
    let options = AppendOptions { expected: Some(expected), ..AppendOptions::default() };
    store.append(events, &options)
}

pub(crate) fn read(store: &Store, spec: ReadSpec) -> Result<Vec<BatchEvent>> {
    let read = store.read(spec)?;
    let mut events = Vec::new();
    while let Some(batch) = read.next()? {
        events.extend(Batch::new(batch).events(&store.source()).unwrap());
    }
    Ok(events)
}

pub(crate) fn all(store: &Store) -> Result<Vec<BatchEvent>> {
    read(store, ReadSpec::new(Subject::All))
}

pub(crate) fn stream(store: &Store, entity: &str) -> Result<Vec<BatchEvent>> {
    read(store, ReadSpec::new(Subject::Stream(entity.to_owned())))
}

pub(crate) fn query(store: &Store, filters: Vec<Filter>) -> Result<Vec<BatchEvent>> {
    read(store, ReadSpec::new(Subject::Query(filters)))
}

pub(crate) fn verify(store: &Store) -> tetralog_core::VerifyReport {
    let mut verification = store.verify(None).unwrap();
    loop {
        if let Some(report) = verification.step().unwrap() {
            return report;
        }
    }
}

/// Copies a store's files as they are now: what another process would find after a kill.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Files below a directory with an ending.
pub(crate) fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[expect(clippy::disallowed_methods, reason = "a test plays the part of the world")]
fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}

/// Deletes everything that is derived from the log.
pub(crate) fn delete_derived(directory: &Path) {
    for ending in [".idx", ".run", ".heads", ".ids", "HEAD"] {
        for file in files(directory, ending) {
            remove(&file);
        }
    }
}
