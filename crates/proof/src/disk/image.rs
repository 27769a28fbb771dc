//! The state of a disk, and what changes it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{Bytes, Content};

/// A file, whatever its names.
pub type Inode = u64;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A file.
    File(Inode),
}

/// A change of a disk that becomes durable as a whole, or, of data, sector by sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Bytes of a file.
    Data {
        /// The file.
        inode: Inode,
        /// Where they go.
        offset: u64,
        /// What they are.
        bytes: Bytes,
        /// They were stored through a mapping: the kernel may write a page while it is stored to.
        stored: bool,
    },
    /// A file is as long as this at least.
    Grown(Inode, u64),
    /// A file is empty.
    Emptied(Inode),
    /// A range of a file is given back.
    Punched(Inode, Range<u64>),
    /// Names of one directory, changed at once.
    Names(Vec<(PathBuf, Option<Node>)>),
}

impl Effect {
    /// The file whose sync makes it durable; names need the directory's.
    pub fn inode(&self) -> Option<Inode> {
        match self {
            Self::Data { inode, .. }
            | Self::Grown(inode, _)
            | Self::Emptied(inode)
            | Self::Punched(inode, _) => Some(*inode),
            Self::Names(_) => None,
        }
    }

    /// The directory whose sync makes it durable.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Names(changes) => changes.first().and_then(|(path, _)| path.parent()),
            _ => None,
        }
    }
}

/// The state of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    names: BTreeMap<PathBuf, Node>,
    files: BTreeMap<Inode, Arc<Content>>,
}

impl Image {
    /// Changes it.
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Data { inode, offset, bytes, .. } => self.file(*inode).write(bytes, *offset),
            Effect::Grown(inode, length) => self.file(*inode).grow(*length),
            Effect::Emptied(inode) => self.file(*inode).empty(),
            Effect::Punched(inode, range) => self.file(*inode).zero(range.clone()),
            Effect::Names(changes) => {
                for (path, node) in changes {
                    match node {
                        Some(node) => self.names.insert(path.clone(), *node),
                        None => self.names.remove(path),
                    };
                }
            }
        }
    }

    fn file(&mut self, inode: Inode) -> &mut Content {
        Arc::make_mut(self.files.entry(inode).or_default())
    }

    /// Drops what can be reached by no name: a directory that is lost takes along what is in it.
    pub fn prune(&mut self) {
        let names = self.names.clone();
        let is_there = |path: &PathBuf| {
            let mut above = path.ancestors().skip(1).take_while(|above| above.parent().is_some());
            above.all(|directory| names.get(directory) == Some(&Node::Directory))
        };
        self.names.retain(|path, _| is_there(path));
        let used: Vec<Inode> = self.files().map(|(_, inode)| inode).collect();
        self.files.retain(|inode, _| used.contains(inode));
    }

    /// What a path is.
    pub fn node(&self, path: &Path) -> Option<Node> {
        if path.parent().is_none() {
            return Some(Node::Directory);
        }
        self.names.get(path).copied()
    }

    /// What a file holds.
    pub fn content(&self, inode: Inode) -> Option<&Content> {
        self.files.get(&inode).map(|content| &**content)
    }

    /// The names in a directory.
    pub fn list(&self, directory: &Path) -> Vec<String> {
        let own = self.names.keys().filter(|path| path.parent() == Some(directory));
        own.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = (&Path, Inode)> {
        self.names.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.as_path(), *inode)),
            Node::Directory => None,
        })
    }

    /// A number that no file has.
    pub fn unused_inode(&self) -> Inode {
        let named = self.files().map(|(_, inode)| inode);
        named.chain(self.files.keys().copied()).max().map_or(1, |inode| inode + 1)
    }
}
