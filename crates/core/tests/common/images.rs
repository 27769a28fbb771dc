//! Stores as the bytes of their files, to be bent and opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{append, event, small};
use tetralog_core::fs::{Fs, Kind, MemoryFs, OpenMode};
use tetralog_core::{BatchEvent, NewEvent, Result, Store, StoreOptions, SystemHost};

pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn root() -> PathBuf {
    PathBuf::from("/store")
}

/// Opens a store on a copy of its files.
pub(crate) fn open(files: &Files) -> Result<(Store, Arc<MemoryFs>)> {
    let fs = Arc::new(restored(files));
    let host = Arc::new(SystemHost);
    Ok((Store::open_with(Arc::clone(&fs) as Arc<dyn Fs>, host, root(), small())?, fs))
}

/// As [`open`], for reading only.
pub(crate) fn open_reader(files: &Files) -> Result<Store> {
    let options = StoreOptions { read_only: true, ..small() };
    Store::open_with(Arc::new(restored(files)), Arc::new(SystemHost), root(), options)
}

/// A file system with these files.
pub(crate) fn restored(files: &Files) -> MemoryFs {
    let fs = MemoryFs::default();
    for (path, bytes) in files {
        fs.create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs.open(path, OpenMode::Create).unwrap();
        file.allocate(bytes.len() as u64).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        file.write_at(&bytes[..used], 0).unwrap();
    }
    fs
}

pub(crate) fn snapshot(fs: &dyn Fs, directory: &Path, files: &mut Files) {
    for name in fs.list(directory).unwrap() {
        let path = directory.join(&name);
        if fs.kind(&path).unwrap() == Some(Kind::Directory) {
            snapshot(fs, &path, files);
        } else {
            let file = fs.open(&path, OpenMode::Read).unwrap();
            let mut bytes = vec![0; file.length().unwrap() as usize];
            file.read_at(&mut bytes, 0).unwrap();
            files.insert(path, bytes);
        }
    }
}

/// A store of two segments, closed in order, with all kinds of events.
pub(crate) fn example(big: usize) -> (Files, Vec<BatchEvent>) {
    let (store, fs) = open(&Files::new()).unwrap();
    let payload = vec![7; big];
    for n in 0..6_u8 {
        let name = format!("entity:{}", n % 3);
        let tagged = NewEvent {
            tags: vec!["red", "green"],
            scope: "org:a/team:b",
            clock: Some(&[n]),
            id: Some([n + 1; 16]),
            ..event(&name, "happened", b"small")
        };
        append(
            &store,
            &[tagged, NewEvent { id: Some([n + 101; 16]), ..event("other", "fact", &payload) }],
        )
        .unwrap();
    }
    let events = super::all(&store).unwrap();
    store.close().unwrap();
    let mut files = Files::new();
    snapshot(&*fs, &root(), &mut files);
    (files, events)
}

/// A closed store that lists its next segment, which has no file; and a payload of which four more need it.
pub(crate) fn with_listed_spare() -> (Files, Vec<u8>) {
    let (store, fs) = open(&Files::new()).unwrap();
    let payload = vec![7; 200_000];
    for _ in 0..4 {
        append(&store, &[event("a", "f", &payload)]).unwrap();
    }
    // More than half of the segment is used: the next one is listed, and closing removes its file.
    store.close().unwrap();
    let mut files = Files::new();
    snapshot(&*fs, &root(), &mut files);
    (files, payload)
}

pub(crate) fn segment(number: u64) -> PathBuf {
    root().join(format!("segments/{number:010}.seg"))
}
