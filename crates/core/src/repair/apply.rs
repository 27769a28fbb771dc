//! Doing what was planned. At every step the store is either as it was, still damaged and repairable, or
//! repaired: copies of all that changes are durable before anything does, and files change by renaming.

use std::path::{Path, PathBuf};

use super::changed::{Change, Changes, Edit, is_public};
use crate::error::{AtPath, Error, Result};
use crate::fs::{self, Fs, OpenMode};
use crate::head::HeadPage;
use crate::manifest;

/// Where damaged files are kept, in a folder for each repair.
pub(crate) const DAMAGED: &str = "damaged";
const COPY_BYTES: usize = 1 << 20;

/// Applies changes. Returns where the files are kept as they were.
pub(super) fn apply(fs: &dyn Fs, directory: &Path, changes: &Changes) -> Result<PathBuf> {
    let aside = new_folder(fs, directory)?;
    for path in changes.keys().filter(|path| is_public(path)) {
        keep(fs, directory, &aside, path)?;
    }
    sync_folders(fs, directory, &aside)?;
    HeadPage::give_notice(fs, directory)?;
    let segments = directory.join("segments");
    fs.create_dir_all(&segments).at(&segments)?;
    for (path, change) in changes.iter().filter(|(path, _)| path.starts_with(&segments)) {
        match change {
            Change::Edit(edit) => rewrite(fs, path, edit)?,
            Change::Replace(bytes) => fs::replace(fs, path, bytes).at(path)?,
            Change::Remove => {}
        }
    }
    // To those who have opened the store since.
    HeadPage::give_notice(fs, directory)?;
    // From the last one on: what is left is always the beginning of the log.
    for (path, change) in changes.iter().rev() {
        if matches!(change, Change::Remove) && fs.kind(path).at(path)?.is_some() {
            fs.remove(path).at(path)?;
        }
    }
    for folder in [&segments, directory] {
        fs.sync_dir(folder).at(folder)?;
    }
    let manifest = directory.join(manifest::NAME);
    if let Some(Change::Replace(bytes)) = changes.get(&manifest) {
        fs::replace(fs, &manifest, bytes).at(&manifest)?;
    }
    Ok(aside)
}

fn new_folder(fs: &dyn Fs, directory: &Path) -> Result<PathBuf> {
    for nth in 1..1_000_000 {
        let folder = directory.join(DAMAGED).join(format!("{nth:04}"));
        if fs.kind(&folder).at(&folder)?.is_none() {
            let segments = folder.join("segments");
            fs.create_dir_all(&segments).at(&segments)?;
            return Ok(folder);
        }
    }
    Err(Error::format(&directory.join(DAMAGED), "holds too many repairs; remove old ones"))
}

/// Copies a file aside, with zeros for what the device cannot read.
fn keep(fs: &dyn Fs, directory: &Path, aside: &Path, path: &Path) -> Result<()> {
    if fs.kind(path).at(path)?.is_none() {
        return Ok(());
    }
    let copy = aside.join(path.strip_prefix(directory).unwrap_or(path));
    copy_edited(fs, path, &copy, &Edit::default())
}

/// Replaces a file by what an edit makes of it.
fn rewrite(fs: &dyn Fs, path: &Path, edit: &Edit) -> Result<()> {
    let temporary = path.with_extension("tmp");
    copy_edited(fs, path, &temporary, edit)?;
    fs.rename(&temporary, path).at(path)
}

fn copy_edited(fs: &dyn Fs, from: &Path, to: &Path, edit: &Edit) -> Result<()> {
    let source = fs.open(from, OpenMode::Read).at(from)?;
    let target = fs.open(to, OpenMode::Create).at(to)?;
    let length = source.length().at(from)?;
    target.allocate(length).at(to)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < length {
        let read = fs::read_around(&*source, &mut buffer, at, &mut Vec::new()).at(from)?;
        let Some(bytes) = buffer.get_mut(..read).filter(|bytes| !bytes.is_empty()) else { break };
        edit.apply(bytes, at);
        target.write_at(bytes, at).at(to)?;
        at += read as u64;
    }
    target.sync().at(to)
}

fn sync_folders(fs: &dyn Fs, directory: &Path, aside: &Path) -> Result<()> {
    for folder in [&aside.join("segments"), aside, &directory.join(DAMAGED), directory] {
        fs.sync_dir(folder).at(folder)?;
    }
    Ok(())
}
