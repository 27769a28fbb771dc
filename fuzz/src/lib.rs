//! What the fuzz targets share: a small store in memory, whose files can be replaced before it is opened.
//!
//! Under `cfg(fuzzing)` every CRC is 0, so that the fuzzer gets behind the checksums: what it finds is what
//! somebody could do who writes hostile files. Then a wrong event is no fault. A panic, a hang, a large
//! allocation and a read out of bounds are, and so is an error that has no code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tetralog_core::fs::{Fs, Kind, MemoryFs, OpenMode};
use tetralog_core::{
    AppendOptions, Batch, Filter, NewEvent, Read, ReadSpec, Result, Store, StoreOptions,
    Subject, SystemHost,
};

/// The files of a store, by their path below its directory.
pub type Files = BTreeMap<String, Vec<u8>>;

const ROOT: &str = "/store";

/// Small segments, so that a small store has sealed ones.
pub fn options() -> StoreOptions {
    StoreOptions { segment_max_bytes: 64 << 10, ..StoreOptions::default() }
}

/// A closed store with sealed segments, runs of the active one, and all kinds of fields.
pub fn example() -> &'static Files {
    static EXAMPLE: OnceLock<Files> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let fs = Arc::new(MemoryFs::default());
        let store = open(&fs).expect("an empty directory becomes a store");
        let large = vec![7; 20 << 10];
        for n in 0..12_u8 {
            let entity = format!("entity:{}", n % 3);
            let payload = if n % 3 == 0 { large.as_slice() } else { b"small" };
            let event = NewEvent {
                entity: &entity,
                fact: "happened",
                scope: "org:a/team:b",
                clock: Some(&[n ^ 5]),
                id: Some([n + 1; 16]),
                tags: vec!["green", "red"],
                content_type: "text/plain",
                payload,
                ..NewEvent::default()
            };
            store.append(&[event], &AppendOptions::default()).expect("there is room");
        }
        // So many that closing the store indexes them.
        let many = vec![NewEvent { entity: "entity:1", fact: "repeated", ..NewEvent::default() }; 300];
        store.append(&many, &AppendOptions::default()).expect("there is room");
        store.close().expect("memory does not fail");
        let mut files = Files::new();
        collect(&*fs, Path::new(ROOT), &mut files);
        files
    })
}

/// The first file of the example whose path ends so.
pub fn path_of(ending: &str) -> &'static str {
    let found = example().keys().find(|path| path.ends_with(ending));
    found.unwrap_or_else(|| panic!("no file of the example ends with {ending}"))
}

/// The last file of the example whose path ends so.
pub fn last_path_of(ending: &str) -> &'static str {
    let found = example().keys().rfind(|path| path.ends_with(ending));
    found.unwrap_or_else(|| panic!("no file of the example ends with {ending}"))
}

/// Opens the example with some files replaced, uses what opens, and opens what that leaves.
pub fn try_example(replaced: &[(&str, Vec<u8>)]) {
    let mut files = example().clone();
    for (path, bytes) in replaced {
        files.insert((*path).to_owned(), bytes.clone());
    }
    let fs = Arc::new(MemoryFs::default());
    for (path, bytes) in &files {
        put(&*fs, &Path::new(ROOT).join(path), bytes);
    }
    for _ in 0..2 {
        if let Ok(store) = open(&fs) {
            use_store(&store);
        }
    }
}

/// As [`try_example`], with bytes of one file overwritten from an offset on.
pub fn try_overwritten(path: &str, at: usize, bytes: &[u8]) {
    let mut content = example().get(path).cloned().unwrap_or_default();
    let end = (at + bytes.len()).min(content.len());
    if let Some(place) = content.get_mut(at..end) {
        place.copy_from_slice(&bytes[..end - at]);
    }
    try_example(&[(path, content)]);
}

/// Every kind of read, a verification, and an append. Errors are answers.
pub fn use_store(store: &Store) {
    let filter = Filter { fact: Some(vec!["happened".into()]), ..Filter::default() };
    let subjects = [
        Subject::All,
        Subject::Stream("entity:1".into()),
        Subject::Query(vec![filter]),
    ];
    for subject in subjects {
        let spec = ReadSpec::new(subject);
        for use_read in [drain, count, explain] {
            if let Ok(read) = store.read(spec.clone()) {
                use_read(store, &read);
            }
        }
    }
    let entities = Subject::Entities { prefix: String::new(), after: None };
    if let Ok(read) = store.read(ReadSpec::new(entities)) {
        while let Ok(Some(_)) = read.next() {}
    }
    for position in [0, 1, 11, 12, u64::MAX] {
        let _ = store.event(position);
    }
    let _ = store.latest("entity:0");
    let _ = store.version("entity:2");
    if let Ok(mut verification) = store.verify(None) {
        while let Ok(None) = verification.step() {}
    }
    let event = NewEvent { entity: "entity:0", fact: "added", ..NewEvent::default() };
    let _ = store.append(&[event], &AppendOptions::default());
    let _ = store.close();
}

fn drain(store: &Store, read: &Read) {
    while let Ok(Some(batch)) = read.next() {
        let _ = Batch::new(batch).events(&store.source());
    }
}

fn count(_: &Store, read: &Read) {
    let _ = read.count();
}

fn explain(_: &Store, read: &Read) {
    let _ = read.explain();
}

fn open(fs: &Arc<MemoryFs>) -> Result<Store> {
    let fs = Arc::clone(fs) as Arc<dyn Fs>;
    Store::open_with(fs, Arc::new(SystemHost), PathBuf::from(ROOT), options())
}

fn put(fs: &MemoryFs, path: &Path, bytes: &[u8]) {
    let directory = path.parent().unwrap_or(Path::new(ROOT));
    fs.create_dir_all(directory).expect("memory does not fail");
    let file = fs.open(path, OpenMode::Create).expect("memory does not fail");
    file.allocate(bytes.len() as u64).expect("memory does not fail");
    file.write_at(bytes, 0).expect("memory does not fail");
}

fn collect(fs: &MemoryFs, directory: &Path, files: &mut Files) {
    for name in fs.list(directory).expect("the directory is there") {
        let path = directory.join(&name);
        if fs.kind(&path).expect("memory does not fail") == Some(Kind::Directory) {
            collect(fs, &path, files);
        } else {
            let file = fs.open(&path, OpenMode::Read).expect("the file is there");
            let mut bytes = vec![0; file.length().expect("memory does not fail") as usize];
            file.read_at(&mut bytes, 0).expect("memory does not fail");
            let below = path.strip_prefix(ROOT).unwrap_or(&path);
            files.insert(below.to_string_lossy().into_owned(), bytes);
        }
    }
}
