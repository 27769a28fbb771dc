//! A real file system loses its power while a process appends to it.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::Findings;
use super::life::Life;
use super::line::Line;
use super::room::{Image, Room};
use super::shutdown::{Cut, shut_down};
use crate::promise::Promise;

/// Cuts in the life of a store.
const CUTS: u64 = 6;
/// Size of the file system.
const MIB: u64 = 1024;
/// A process is cut off before it has told so many lines.
const LINES: u64 = 150;
/// How long a process may take to get as far as it is to get.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cuts the power of a file system a few times while a process appends to a store on it.
pub fn cut(life: &mut Life, room: &Room, findings: &mut Findings) -> Result<(), String> {
    let image = room.image(room.path(), "power", MIB)?;
    for nth in 1..=CUTS {
        cut_once(life, &image, findings)?;
        life.boot += 1;
        // What one cut leaves may also be found by the process of the next, and its recovery be cut.
        if nth < CUTS && life.numbers.percent(30) {
            life.promised = life.promised.after_power_cut();
            findings.count("cuts of what a cut had left", 1);
            continue;
        }
        let mount = image.mount()?;
        life.settle_device(&store(mount.path()), findings)?;
        mount.unmount()?;
    }
    Ok(())
}

fn cut_once(life: &mut Life, image: &Image, findings: &mut Findings) -> Result<(), String> {
    let mount = image.mount()?;
    let (mut process, task) = life.start(&store(mount.path()))?;
    if life.numbers.percent(25) {
        // While the store is made or opened, maybe.
        sleep(Duration::from_micros(life.numbers.below(8000)));
    } else {
        process.hear(1 + life.numbers.below(LINES), PATIENCE);
        sleep(Duration::from_micros(life.numbers.below(2000)));
    }
    let cut = match life.numbers.below(4) {
        0 => Cut::Flushed,
        1 => Cut::JournalFlushed,
        _ => Cut::Hard,
    };
    if let Some(failure) = process.failure() {
        return Err(format!("appending: {failure}"));
    }
    let before = process.so_far().len();
    shut_down(mount.path(), cut).map_err(|error| format!("the shutdown: {error}"))?;
    sleep(Duration::from_micros(life.numbers.below(20_000)));
    let mut lines = process.kill()?;
    lines.iter_mut().skip(before).for_each(weaken);
    let failures = life.take(&task, lines);
    findings.count("power cuts", 1);
    findings
        .count("processes that met the cut before they were killed", failures.len().min(1) as u64);
    mount.unmount()
}

/// What a promise is worth that was made while the file system was shut down: the kernel first marks it, and
/// a sync that is under way then may return without an error although its extents did not reach the
/// journal. With the power gone, no call returns.
fn weaken(line: &mut Line) {
    match line {
        Line::Promised(Promise::Acknowledged { durable, .. }) => *durable = false,
        Line::Promised(Promise::Synced | Promise::Reached { .. }) => {
            *line = Line::Promised(Promise::SyncedBelow(0));
        }
        Line::Promised(Promise::SyncedBelow(position)) => *position = 0,
        _ => {}
    }
}

/// Where the store is on a file system. Its parent is made by it too.
pub fn store(mount: &Path) -> std::path::PathBuf {
    mount.join("data/store")
}
