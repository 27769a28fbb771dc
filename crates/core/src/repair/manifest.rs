//! The manifest, put right or made again from the segments: it says nothing that they do not say.

use std::collections::BTreeMap;
use std::path::Path;

use super::mend;
use crate::error::{AtPath, Result};
use crate::fs::{Fs, OpenMode, read_all};
use crate::head::HeadPage;
use crate::manifest::{Manifest, NAME, SEGMENTS_MAX};
use crate::segment::{Segment, SegmentHeader, file_name};

/// More bytes than are looked through for a changed one.
const LENGTH_MAX: u64 = 64 << 20;

/// The bytes of a whole manifest, and whether they are those that were there but for a changed one. `None`
/// if there is no segment to make it from.
pub(super) fn whole(fs: &dyn Fs, directory: &Path) -> Result<Option<(Vec<u8>, bool)>> {
    let path = directory.join(NAME);
    if fs.kind(&path).at(&path)?.is_some() {
        let file = fs.open(&path, OpenMode::Read).at(&path)?;
        let bytes = read_all(&*file, LENGTH_MAX).unwrap_or_default();
        let corrected = mend::plain(&bytes).into_iter().find(|bytes| Manifest::is_whole(bytes));
        if let Some(bytes) = corrected {
            return Ok(Some((bytes, true)));
        }
    }
    Ok(rebuilt(fs, directory)?.map(|manifest| (manifest.encode(), false)))
}

/// A manifest that lists the segments that are there. One that is missing between them is listed too: so it
/// is found to be damage.
pub(super) fn rebuilt(fs: &dyn Fs, directory: &Path) -> Result<Option<Manifest>> {
    let folder = directory.join("segments");
    let mut found: BTreeMap<u64, (u64, Option<SegmentHeader>)> = BTreeMap::new();
    for name in fs.list(&folder).at(&folder)? {
        let Some((number, generation)) =
            numbers(&name).filter(|(number, _)| *number <= SEGMENTS_MAX)
        else {
            continue;
        };
        let header = Segment::open(fs, &folder.join(&name), OpenMode::Read)?.ok();
        let header = header.map(|segment| segment.header);
        let own =
            |header: &SegmentHeader| (header.number, header.generation) == (number, generation);
        let entry = (generation, header.filter(own));
        let newest = found.entry(number).or_insert((0, None));
        if newest.0 < generation {
            *newest = entry;
        }
    }
    // Behind the last whose header is whole there may be others, and a spare.
    let last = found.iter().rev().find(|(_, (_, header))| header.is_some()).map(|(last, _)| *last);
    let first = found.values().find_map(|(_, header)| header.clone());
    let (Some(last), Some(first)) = (last, first) else { return Ok(None) };
    let behind = (last + 1..).take_while(|number| found.contains_key(number));
    let listed = 1..=behind.last().unwrap_or(last);
    let generation = |number: &u64| found.get(number).map_or(1, |(generation, _)| *generation);
    let head = HeadPage::open(fs, directory).and_then(|page| page.read());
    Ok(Some(Manifest {
        store_id: first.store_id,
        generation: head.map_or(last, |head| head.manifest_generation) + 1,
        created_us: first.created_us,
        segments: listed.map(|number| (number, generation(&number))).collect(),
        read_only: found.values().flat_map(|(_, header)| header).any(|header| header.read_only),
    }))
}

/// Number and generation in the name of a segment's file.
fn numbers(name: &str) -> Option<(u64, u64)> {
    let (number, rest) = name.split_once('.')?;
    let number = number.parse().ok()?;
    let generation = match rest.split_once('.') {
        Some((generation, "seg")) => generation.parse().ok()?,
        None if rest == "seg" => 1,
        _ => return None,
    };
    (file_name(number, generation) == name).then_some((number, generation))
}
