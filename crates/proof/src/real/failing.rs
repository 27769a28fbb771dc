//! A device that takes what is written to it and cannot keep it: the image of a file system is on another
//! one that is too small for it. The kernel tells of that once, in a sync, and takes the pages for clean.

use std::path::Path;
use std::sync::Arc;

use tetralog_core::fs::{DiskFs, Fs, OpenMode};
use tetralog_core::{Error, Store};

use super::Findings;
use super::life::{Life, Notes};
use super::power::store;
use super::room::Room;

/// Size of the file system on the device.
const MIB: u64 = 256;
/// What the device has: at least so much, and less than this beyond it.
const DEVICE_MIB: (u64, u64) = (14, 24);
/// What it is given later.
const ENOUGH_MIB: u64 = 320;
/// More steps than the device has room for.
const STEPS: u64 = 2000;
/// Files made and removed again: each writes more than a thousandth of the journal.
const JOURNAL_SYNCS: u64 = 150;
/// Appends refused in a row, after which the store is taken for full.
const REFUSED: usize = 40;

/// Appends until the device fails, sees what the store does then, mends the device and opens it again.
pub fn fail(life: &mut Life, room: &Room, findings: &mut Findings) -> Result<(), String> {
    let device = room.memory("device", DEVICE_MIB.0 + life.numbers.below(DEVICE_MIB.1))?;
    let image = room.image(device.path(), "failing", MIB)?;
    let mount = image.mount()?;
    image.write_pages_alone()?;
    fill_journal(mount.path())?;
    let directory = store(mount.path());
    let notes = Arc::new(Notes::default());
    let opened = life.open(&directory, &notes)?;
    append_until_it_fails(life, &opened, &notes, findings)?;
    still_reads(life, &opened)?;
    match opened.close() {
        Err(Error::Poisoned { .. }) => {}
        Ok(()) => findings.count("stores that were full before a sync failed", 1),
        Err(error) => return Err(format!("closing: {error}")),
    }
    drop(opened);
    device.resize(ENOUGH_MIB)?;
    // The system still runs, and shows pages that the device has lost.
    let required = life.promised.clone();
    match life.settle(&directory, &required) {
        Ok(_) => findings.count("opened again beside lost pages", 1),
        Err(message) if message.contains("EROFS") || message.contains("EIO") => {
            findings.count("file systems that the kernel had made read-only", 1);
        }
        Err(message) => return Err(message),
    }
    mount.unmount()?;
    let mount = image.mount()?;
    life.settle_device(&store(mount.path()), findings)?;
    mount.unmount()?;
    device.unmount()
}

/// Lets the journal take all the space that it will ever need: what cannot be written later is data. An
/// ext4 whose journal fails becomes read-only.
fn fill_journal(mount: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| format!("filling the journal: {error}");
    let path = mount.join("filling");
    for _ in 0..JOURNAL_SYNCS {
        DiskFs.open(&path, OpenMode::Create).map_err(told)?;
        DiskFs.sync_dir(mount).map_err(told)?;
        DiskFs.remove(&path).map_err(told)?;
        DiskFs.sync_dir(mount).map_err(told)?;
    }
    Ok(())
}

fn append_until_it_fails(
    life: &mut Life,
    opened: &Store,
    notes: &Arc<Notes>,
    findings: &mut Findings,
) -> Result<(), String> {
    let mut full = 0;
    for _ in 0..STEPS {
        life.go_on(opened, notes, 1);
        let failures = std::mem::take(&mut *notes.failures.lock());
        if failures.is_empty() {
            full = 0;
        }
        for (_, error) in failures {
            match error {
                Error::Poisoned { .. } => return stays_poisoned(life, opened, notes, findings),
                Error::DiskFull { .. } => full += 1,
                error => return Err(format!("appending to a failing disk: {error}")),
            }
        }
        if full > REFUSED {
            return Ok(());
        }
    }
    Err("the device did not fail".to_owned())
}

/// Nothing is acknowledged any more, although the kernel has said all that it has to say.
fn stays_poisoned(
    life: &mut Life,
    opened: &Store,
    notes: &Arc<Notes>,
    findings: &mut Findings,
) -> Result<(), String> {
    findings.count("stores poisoned by a failed sync", 1);
    let before = life.promised.clone();
    life.go_on(opened, notes, 3);
    let told = |error: Option<Error>| format!("after a failed sync: {error:?}");
    for (_, error) in notes.failures.lock().drain(..) {
        if !matches!(error, Error::Poisoned { .. }) {
            return Err(told(Some(error)));
        }
    }
    match opened.sync() {
        Err(Error::Poisoned { .. }) => {}
        other => return Err(told(other.err())),
    }
    let new = life.promised.acknowledged.len() - before.acknowledged.len();
    if new > 0 || life.promised.below != before.below {
        return Err(format!("{new} appends were acknowledged after a failed sync"));
    }
    Ok(())
}

/// What was acknowledged is shown, whole, and nothing else.
fn still_reads(life: &mut Life, opened: &Store) -> Result<(), String> {
    let promised = life.promised.clone();
    let (_, found) = life.check(opened, &promised.without_power_cut())?;
    // Showing it promised nothing: it may be gone when the store is opened again.
    life.promised = promised;
    let extra = found.keys().find(|number| !life.promised.acknowledged.contains_key(number));
    extra.map_or(Ok(()), |number| Err(format!("append {number} is shown and was not acknowledged")))
}
