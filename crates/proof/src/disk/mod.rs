//! A disk in memory that remembers everything that was done to it, and can have lost its power at any
//! moment since.
//!
//! What is written is seen at once, as by the page cache. It is on the disk when a sync of the file that
//! began later has returned; names, when a sync of their directory has. A file's length is a change of
//! its own. After a sync that has failed, what it was to bring to the disk may be lost although it is
//! still seen: the kernel takes the pages for clean.

mod content;
mod image;
mod recording;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tetralog_core::fs::{File, Fs, Kind, Map, OpenMode};

pub use content::{Bytes, Content};
pub use image::{Effect, Image, Inode, Node};
pub use recording::{Cut, Entry, Moment, Pending, Recording, Standing, Target};

use crate::promise::{Promise, Witness};

/// A disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What the system sees.
    seen: Image,
    recording: Recording,
    next_inode: Inode,
    next_sync: u64,
    locked: BTreeSet<PathBuf>,
    /// How many syncs of segments succeed before one fails.
    syncs_until_failure: Option<u64>,
}

impl State {
    fn apply(&mut self, path: &Path, effect: Effect) {
        self.seen.apply(&effect);
        let pending = Pending { path: path.to_owned(), effect, standing: Standing::Open };
        self.recording.log.push(Entry::Did(pending));
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        match self.seen.node(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Directory) => Err(io::Error::from_raw_os_error(21)),
            None => Err(not_found()),
        }
    }

    fn length(&self, inode: Inode) -> u64 {
        self.seen.content(inode).map_or(0, Content::length)
    }

    fn create(&mut self, path: &Path) -> io::Result<Inode> {
        if let Ok(inode) = self.inode(path) {
            self.apply(path, Effect::Emptied(inode));
            return Ok(inode);
        }
        if path.parent().and_then(|parent| self.seen.node(parent)) != Some(Node::Directory) {
            return Err(not_found());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.apply(path, Effect::Names(vec![(path.to_owned(), Some(Node::File(inode)))]));
        Ok(inode)
    }

    fn write(&mut self, path: &Path, inode: Inode, bytes: &[u8], offset: u64, stored: bool) {
        let end = offset + bytes.len() as u64;
        if end > self.length(inode) {
            self.apply(path, Effect::Grown(inode, end));
        }
        let bytes = Bytes::of(bytes);
        self.apply(path, Effect::Data { inode, offset, bytes, stored });
    }

    fn begin_sync(&mut self, target: Target) -> u64 {
        self.next_sync += 1;
        self.recording.log.push(Entry::SyncBegan { sync: self.next_sync, target });
        self.next_sync
    }

    fn fails(&mut self, path: &Path) -> bool {
        let Some(left) = &mut self.syncs_until_failure else { return false };
        if path.extension().is_none_or(|ending| ending != "seg") {
            return false;
        }
        let fails = *left == 0;
        *left = left.wrapping_sub(1);
        if fails {
            self.syncs_until_failure = None;
        }
        fails
    }
}

impl Disk {
    /// A disk on which nothing is pending.
    pub fn holding(image: Image) -> Self {
        Self::running(image, Vec::new())
    }

    /// A disk whose system goes on: what is pending is seen, and becomes durable by later syncs.
    pub fn running(image: Image, pending: Vec<Pending>) -> Self {
        let mut seen = image.clone();
        for one in &pending {
            seen.apply(&one.effect);
        }
        let created = pending.iter().filter_map(|one| one.effect.inode()).max().unwrap_or(0);
        let next_inode = seen.unused_inode().max(image.unused_inode()).max(created + 1);
        let recording = Recording { image, pending, log: Vec::new() };
        let state = State { seen, recording, next_inode, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets a sync of a segment fail, after so many that succeed.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.state.lock().syncs_until_failure = Some(syncs);
    }

    /// What was done so far.
    pub fn recording(&self) -> Recording {
        self.state.lock().recording.clone()
    }

    /// What the system sees.
    pub fn seen(&self) -> Image {
        self.state.lock().seen.clone()
    }

    fn opened(&self, path: &Path, inode: Inode) -> Arc<dyn File> {
        Arc::new(DiskFile { disk: self.clone(), path: path.to_owned(), inode, locked: false })
    }
}

impl Witness for Disk {
    fn promise(&self, promise: Promise) {
        self.state.lock().recording.log.push(Entry::Promised(promise));
    }
}

fn not_found() -> io::Error {
    io::Error::from_raw_os_error(2)
}

impl Fs for Disk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        let inode = match mode {
            OpenMode::Create => state.create(path)?,
            OpenMode::Read | OpenMode::Write => state.inode(path)?,
        };
        Ok(self.opened(path, inode))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let missing: Vec<_> =
            path.ancestors().take_while(|above| state.seen.node(above).is_none()).collect();
        for directory in missing.into_iter().rev() {
            let change = (directory.to_owned(), Some(Node::Directory));
            state.apply(directory, Effect::Names(vec![change]));
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        match state.seen.node(path) {
            Some(Node::Directory) => Ok(state.seen.list(path)),
            _ => Err(not_found()),
        }
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        Ok(self.state.lock().seen.node(path).map(|node| match node {
            Node::Directory => Kind::Directory,
            Node::File(_) => Kind::File,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.inode(from)?;
        let changes = vec![(from.to_owned(), None), (to.to_owned(), Some(Node::File(inode)))];
        state.apply(to, Effect::Names(changes));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.inode(path)?;
        state.apply(path, Effect::Names(vec![(path.to_owned(), None)]));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.seen.node(path) != Some(Node::Directory) {
            return Err(not_found());
        }
        let sync = state.begin_sync(Target::Directory(path.to_owned()));
        state.recording.log.push(Entry::SyncEnded { sync, failed: false });
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        let mut state = self.state.lock();
        let inode = state.inode(path).or_else(|_| state.create(path))?;
        if !state.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        let (disk, path) = (self.clone(), path.to_owned());
        Ok(Some(Arc::new(DiskFile { disk, path, inode, locked: true })))
    }

    fn keeps_allocations(&self, _path: &Path) -> bool {
        true
    }
}

#[derive(Debug)]
struct DiskFile {
    disk: Disk,
    path: PathBuf,
    inode: Inode,
    locked: bool,
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        if self.locked {
            self.disk.state.lock().locked.remove(&self.path);
        }
    }
}

impl File for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state.lock();
        Ok(state.seen.content(self.inode).map_or(0, |content| content.read(buffer, offset)))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.state.lock().write(&self.path, self.inode, bytes, offset, false);
        Ok(())
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        if offset + bytes.len() as u64 > state.length(self.inode) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        state.write(&self.path, self.inode, bytes, offset, true);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let sync = self.disk.state.lock().begin_sync(Target::File(self.inode));
        // Others get their turn while it lasts.
        std::thread::yield_now();
        let mut state = self.disk.state.lock();
        let failed = state.fails(&self.path);
        state.recording.log.push(Entry::SyncEnded { sync, failed });
        if failed { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state.lock().length(self.inode))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        if length > state.length(self.inode) {
            state.apply(&self.path, Effect::Grown(self.inode, length));
        }
        Ok(())
    }

    fn release(&self, range: Range<u64>) -> io::Result<()> {
        if !range.is_empty() {
            let effect = Effect::Punched(self.inode, range);
            self.disk.state.lock().apply(&self.path, effect);
        }
        Ok(())
    }

    fn map(&self) -> io::Result<Option<Map>> {
        Ok(None)
    }
}
