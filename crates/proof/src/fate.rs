//! What a power cut can leave of the changes that were pending.

use std::ops::Range;

use crate::disk::{Cut, Effect, Image, Pending, Standing};
use crate::numbers::Numbers;

/// A disk writes so many bytes at once or not at all.
const SECTOR: u64 = 512;
/// What a processor stores at once.
const WORD: u64 = 8;
/// Up to so many changes of the log, all subsets of them are tried.
const EXHAUSTIVE_MAX: usize = 8;
/// So many changes of one page that is overwritten again and again are told apart.
const VERSIONS_MAX: usize = 3;

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Dropped,
    Kept,
    /// Only the sectors for which the answer is true, of those that it touches.
    Torn(Tear),
}

/// How data is torn.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tear {
    /// What comes before a place is kept.
    Before(u64),
    /// What comes behind a place is kept.
    Behind(u64),
    /// Any sectors, by these numbers.
    Sectors(u64),
}

/// Changes of which at most one counts: later ones overwrite the earlier.
type Slot = Vec<usize>;

/// How thoroughly a cut is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// At most so many states of a cut.
    pub states: usize,
    /// Up to this number of them, all subsets of few changes are tried.
    pub exhaustive: bool,
}

/// The states in which a cut can leave the disk, each with what was chosen.
#[derive(Debug)]
pub struct States<'a> {
    cut: &'a Cut,
    log: Vec<Slot>,
    derived: Vec<usize>,
    /// All subsets of the log's changes are among them.
    pub complete: bool,
}

impl<'a> States<'a> {
    /// The states after a cut.
    pub fn of(cut: &'a Cut) -> Self {
        let (mut log, mut derived) = (Vec::<Slot>::new(), Vec::new());
        for (nth, pending) in cut.pending.iter().enumerate() {
            if pending.standing == Standing::Durable {
                continue;
            }
            if is_derived(pending) {
                derived.push(nth);
                continue;
            }
            let same = |slot: &&mut Slot| {
                slot.first().is_some_and(|first| overwrites(pending, &cut.pending[*first]))
            };
            match log.iter_mut().find(same) {
                Some(slot) => slot.push(nth),
                None => log.push(vec![nth]),
            }
        }
        let complete = log.len() <= EXHAUSTIVE_MAX;
        Self { cut, log, derived, complete }
    }

    /// Shows states, as many as the effort allows.
    pub fn visit(
        &mut self,
        effort: Effort,
        numbers: &mut Numbers,
        visit: &mut dyn FnMut(Image, &str),
    ) {
        let mut chosen = if self.complete && effort.exhaustive {
            let mut subsets = self.subsets(numbers);
            subsets.extend(self.tears(numbers));
            subsets
        } else {
            (0..effort.states).map(|_| self.sample(numbers)).collect()
        };
        // The extremes are always among them.
        chosen.insert(0, vec![Fate::Dropped; self.cut.pending.len()]);
        chosen.insert(1, vec![Fate::Kept; self.cut.pending.len()]);
        if chosen.len() > effort.states {
            self.complete = false;
            while chosen.len() > effort.states {
                let nth = 2 + numbers.below(chosen.len() as u64 - 2) as usize;
                chosen.swap_remove(nth);
            }
        }
        for (nth, mut fates) in chosen.into_iter().enumerate() {
            if nth >= 2 {
                self.choose_derived(&mut fates, numbers);
            }
            visit(self.build(&fates), &self.describe(&fates));
        }
    }

    /// Every subset of the log's changes.
    fn subsets(&self, numbers: &mut Numbers) -> Vec<Vec<Fate>> {
        let mut all = vec![vec![Fate::Dropped; self.cut.pending.len()]];
        for slot in &self.log {
            let mut versions: Vec<usize> = slot.clone();
            while versions.len() > VERSIONS_MAX {
                versions.remove(1 + numbers.below(versions.len() as u64 - 2) as usize);
            }
            let with = |fates: &Vec<Fate>, version: usize| {
                let mut fates = fates.clone();
                fates[version] = Fate::Kept;
                fates
            };
            let more: Vec<_> = versions
                .iter()
                .flat_map(|version| all.iter().map(|fates| with(fates, *version)))
                .collect();
            all.extend(more);
        }
        all
    }

    /// Each change of the log torn in several ways, among others that are kept, dropped or either.
    fn tears(&self, numbers: &mut Numbers) -> Vec<Vec<Fate>> {
        let mut all = Vec::new();
        for torn in self.log.iter().filter_map(|slot| slot.last().copied()) {
            if tearable(&self.cut.pending[torn]).is_none() {
                continue;
            }
            for percent in [0, 50, 100] {
                for _ in 0..3 {
                    let mut fates = self.sample_with(percent, 0, numbers);
                    fates[torn] = tear(&self.cut.pending[torn], numbers);
                    all.push(fates);
                }
            }
        }
        all
    }

    fn sample(&self, numbers: &mut Numbers) -> Vec<Fate> {
        let percent = [2, 20, 50, 80, 98][numbers.below(5) as usize];
        let torn = [0, 10, 50][numbers.below(3) as usize];
        self.sample_with(percent, torn, numbers)
    }

    fn sample_with(&self, kept: u64, torn: u64, numbers: &mut Numbers) -> Vec<Fate> {
        let mut fates = vec![Fate::Dropped; self.cut.pending.len()];
        for slot in &self.log {
            if numbers.percent(kept) {
                let version = slot[numbers.below(slot.len() as u64) as usize];
                let tears = numbers.percent(torn);
                let pending = &self.cut.pending[version];
                fates[version] = if tears { tear(pending, numbers) } else { Fate::Kept };
            }
        }
        fates
    }

    fn choose_derived(&self, fates: &mut [Fate], numbers: &mut Numbers) {
        let (kept, torn) = ([0, 50, 95, 100][numbers.below(4) as usize], numbers.below(2) * 10);
        for nth in &self.derived {
            fates[*nth] = match numbers.percent(kept) {
                true if numbers.percent(torn) => tear(&self.cut.pending[*nth], numbers),
                true => Fate::Kept,
                false => Fate::Dropped,
            };
        }
    }

    fn build(&self, fates: &[Fate]) -> Image {
        let mut image = self.cut.image.clone();
        for (pending, fate) in self.cut.pending.iter().zip(fates) {
            match fate {
                Fate::Dropped if pending.standing != Standing::Durable => {}
                Fate::Dropped | Fate::Kept => image.apply(&pending.effect),
                Fate::Torn(tear) => tear.apply(&pending.effect, &mut image),
            }
        }
        image.prune();
        image
    }

    fn describe(&self, fates: &[Fate]) -> String {
        let changes = self.log.iter().flatten().map(|nth| {
            let (pending, fate) = (&self.cut.pending[*nth], &fates[*nth]);
            let name = pending.path.file_name().unwrap_or_default().to_string_lossy();
            let what = match &pending.effect {
                Effect::Data { offset, bytes, .. } => format!("{offset}+{}", bytes.length()),
                Effect::Grown(_, length) => format!("length {length}"),
                Effect::Emptied(_) => "emptied".to_owned(),
                Effect::Punched(_, range) => format!("punched {}..{}", range.start, range.end),
                Effect::Names(_) => "name".to_owned(),
            };
            format!("{name} {what}: {fate:?}")
        });
        let shown: Vec<String> = changes.collect();
        let most = shown.len().saturating_sub(24);
        shown[most..].join("; ")
    }
}

/// Whether a change is of a file that can be made again from the log.
fn is_derived(pending: &Pending) -> bool {
    let path = &pending.path;
    let below = |folder: &str| path.parent().is_some_and(|parent| parent.ends_with(folder));
    let segment = path.extension().is_some_and(|ending| ending == "seg");
    below("runs") || below("segments") && !segment || path.ends_with("LOCK")
}

fn overwrites(later: &Pending, earlier: &Pending) -> bool {
    match (&later.effect, &earlier.effect) {
        (
            Effect::Data { inode, offset, bytes, .. },
            Effect::Data { inode: own, offset: place, bytes: others, .. },
        ) => {
            (inode, offset, bytes.length()) == (own, place, others.length())
                && later.path.ends_with("HEAD")
        }
        _ => false,
    }
}

/// The data of a change, if it can be torn: its place, and what the disk or the processor writes at once.
fn tearable(pending: &Pending) -> Option<(Range<u64>, u64)> {
    match &pending.effect {
        Effect::Data { offset, bytes, stored, .. } => {
            let range = *offset..offset + bytes.length();
            let unit = if *stored { WORD } else { SECTOR };
            (range.start / unit < (range.end - 1) / unit).then_some((range, unit))
        }
        _ => None,
    }
}

fn tear(pending: &Pending, numbers: &mut Numbers) -> Fate {
    let Some((range, unit)) = tearable(pending) else { return Fate::Kept };
    let (first, last) = (range.start / unit + 1, (range.end - 1) / unit);
    let place = (first + numbers.below(last - first + 1)) * unit;
    Fate::Torn(match numbers.below(3) {
        0 => Tear::Before(place),
        1 => Tear::Behind(place),
        _ => Tear::Sectors(numbers.any()),
    })
}

impl Tear {
    fn apply(&self, effect: &Effect, image: &mut Image) {
        let Effect::Data { inode, offset, bytes, stored } = effect else { return };
        let end = offset + bytes.length();
        let mut keep = |range: Range<u64>| {
            let bytes = bytes.part(range.start - offset..range.end - offset);
            let (inode, stored) = (*inode, *stored);
            image.apply(&Effect::Data { inode, offset: range.start, bytes, stored });
        };
        match self {
            Self::Before(place) => keep(*offset..*place),
            Self::Behind(place) => keep(*place..end),
            Self::Sectors(seed) => {
                let mut numbers = Numbers::new(*seed);
                for sector in offset / SECTOR..end.div_ceil(SECTOR) {
                    let range = (*offset).max(sector * SECTOR)..end.min((sector + 1) * SECTOR);
                    if numbers.percent(50) {
                        keep(range);
                    }
                }
            }
        }
    }
}
