//! A file system without space: appends are refused, nothing else happens, and they work again once
//! there is space.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tetralog_core::fs::{DiskFs, Fs, OpenMode};
use tetralog_core::{Error, Store, Written};

use super::Findings;
use super::life::{Life, Notes, close};
use super::power::store;
use super::room::Room;

/// Size of the file system.
const MIB: u64 = 40;
/// How often it becomes full.
const TIMES: u64 = 3;
/// Bytes of each file that takes space away, one for each time and one for the end.
const BALLAST: u64 = 6 << 20;
/// Appends for which there must be space again when such a file is gone.
const APPENDS: u64 = 4;
/// More steps than there is space for.
const STEPS: u64 = 2000;

/// Fills a file system with appends, a few times.
pub fn fill(
    life: &mut Life,
    room: &Room,
    ext4: bool,
    findings: &mut Findings,
) -> Result<(), String> {
    let mount = if ext4 {
        room.image(room.path(), "full", MIB)?.mount()?
    } else {
        room.memory("full", MIB)?
    };
    let directory = store(mount.path());
    let told = |error: std::io::Error| format!("the ballast: {error}");
    for nth in 0..=TIMES {
        let file = DiskFs.open(&ballast(mount.path(), nth), OpenMode::Create).map_err(told)?;
        file.allocate(BALLAST).map_err(told)?;
    }
    let mut filling = Filling { notes: Arc::default(), refused: Vec::new() };
    let mut opened = life.open(&directory, &filling.notes)?;
    for nth in 0..TIMES {
        filling.until_full(life, &opened)?;
        filling.compare(life, &opened)?;
        if life.numbers.percent(50) {
            close(&opened)?;
            drop(opened);
            opened = life.open(&directory, &filling.notes)?;
            filling.compare(life, &opened)?;
            findings.count("openings without space", 1);
        }
        DiskFs.remove(&ballast(mount.path(), nth)).map_err(told)?;
        filling.goes_on(life, &opened)?;
        findings.count("times the disk was full", 1);
    }
    filling.compare(life, &opened)?;
    close(&opened)?;
    drop(opened);
    findings.count("appends refused", filling.refused.len() as u64);
    findings.count("appends acknowledged", life.promised.acknowledged.len() as u64);
    DiskFs.remove(&ballast(mount.path(), TIMES)).map_err(told)?;
    let required = life.promised.without_power_cut();
    life.settle(&directory, &required)?;
    mount.unmount()
}

fn ballast(mount: &Path, nth: u64) -> PathBuf {
    mount.join(format!("ballast-{nth}"))
}

#[derive(Debug)]
struct Filling {
    notes: Arc<Notes>,
    /// Numbers of the appends that were refused.
    refused: Vec<u64>,
}

impl Filling {
    /// Appends until there is no space, and a little longer.
    fn until_full(&mut self, life: &mut Life, opened: &Store) -> Result<(), String> {
        let before = self.refused.len();
        for _ in 0..STEPS {
            life.go_on(opened, &self.notes, 1);
            self.take_refusals()?;
            if self.refused.len() > before {
                life.go_on(opened, &self.notes, 5);
                return self.take_refusals();
            }
        }
        Err("the disk did not become full".to_owned())
    }

    fn take_refusals(&mut self) -> Result<(), String> {
        for (append, error) in self.notes.failures.lock().drain(..) {
            match (append, &error) {
                (Some(number), Error::DiskFull { .. }) if error.written() == Written::No => {
                    self.refused.push(number);
                }
                _ => return Err(format!("without space: {error}")),
            }
        }
        Ok(())
    }

    /// Everything acknowledged is there, and nothing that was refused.
    fn compare(&self, life: &mut Life, opened: &Store) -> Result<(), String> {
        let required = life.promised.without_power_cut();
        let (_, found) = life.check(opened, &required)?;
        match self.refused.iter().find(|number| found.contains_key(number)) {
            Some(number) => Err(format!("append {number} was refused and is there")),
            None => Ok(()),
        }
    }

    /// With space again, appends work at once.
    fn goes_on(&self, life: &mut Life, opened: &Store) -> Result<(), String> {
        let before = life.promised.acknowledged.len();
        life.append(opened, &self.notes, APPENDS);
        if let Some((_, error)) = self.notes.failures.lock().first() {
            return Err(format!("with space again: {error}"));
        }
        if life.promised.acknowledged.len() == before {
            return Err("with space again nothing was appended".to_owned());
        }
        Ok(())
    }
}
