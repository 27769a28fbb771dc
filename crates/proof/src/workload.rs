//! What is done to a store while its disk records: appends of all kinds in both manners, rotation,
//! syncs, closing and opening again, and a sync that fails.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tetralog_core::fs::Fs;
use tetralog_core::{
    AppendOptions, Durability, Error, Expected, Host, MetadataKind, NewEvent, Outcome, OutcomeSink,
    Receipt, Result, Store, StoreOptions, SubmissionBuilder,
};

use crate::disk::Disk;
use crate::numbers::Numbers;
use crate::promise::{Promise, Witness};

/// A machine whose time and randomness come from a seed.
#[derive(Debug)]
pub struct Machine {
    numbers: Mutex<(Numbers, u64)>,
    boot: u64,
}

impl Machine {
    /// A machine in one of its boots.
    pub fn new(seed: u64, boot: u64) -> Arc<Self> {
        let numbers = Numbers::branch(seed, boot);
        Arc::new(Self { numbers: Mutex::new((numbers, 0)), boot })
    }
}

impl Host for Machine {
    fn unix_ns(&self) -> u64 {
        let mut numbers = self.numbers.lock();
        numbers.1 += 1_000_000;
        1_700_000_000_000_000_000 + numbers.1
    }

    fn random(&self, bytes: &mut [u8]) {
        let mut numbers = self.numbers.lock();
        for byte in bytes {
            *byte = numbers.0.any() as u8;
        }
    }

    fn boot_id(&self) -> [u8; 16] {
        let mut id = [1; 16];
        id[..8].copy_from_slice(&self.boot.to_le_bytes());
        id
    }
}

/// What kind of appends a workload makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One to three events with names of their own, and nothing else: appends whose frames are of one
    /// size.
    Unique,
    /// A few events of entities that come again, with all coordinates and ids.
    Mixed,
    /// A payload of up to a third of a segment: several fill one.
    Large,
    /// So many events that closing writes a run.
    Bulk,
    /// So many events that a few appends fill a run.
    Tiny,
}

/// An event as it was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Who.
    pub entity: String,
    /// What.
    pub fact: String,
    /// Where.
    pub scope: String,
    /// Sorted.
    pub tags: Vec<String>,
    /// Names the append, the event's place in it, and how many it has.
    pub metadata: [u8; 16],
    /// Its id, if it was given one.
    pub id: Option<[u8; 16]>,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Own {
    fn event(&self) -> NewEvent<'_> {
        NewEvent {
            entity: &self.entity,
            fact: &self.fact,
            scope: &self.scope,
            tags: self.tags.iter().map(String::as_str).collect(),
            metadata_kind: MetadataKind::Bytes,
            metadata: &self.metadata,
            id: self.id,
            content_type: if self.payload.is_empty() { "" } else { "application/octet-stream" },
            payload: &self.payload,
            ..NewEvent::default()
        }
    }
}

/// An append as it was handed over.
#[derive(Debug, Clone)]
pub struct Append {
    /// Its events.
    pub events: Vec<Own>,
    /// The entity that must not have events.
    expected: Option<Expected>,
    durability: Option<Durability>,
}

impl Append {
    /// The append of a number. `number` stands in its events, so that they can be told from all others.
    fn of(seed: u64, number: u64, style: Style) -> Self {
        let mut numbers = Numbers::branch(seed, number << 3 | style as u64);
        let count = match style {
            Style::Unique => 1 + numbers.below(3),
            Style::Mixed => 1 + numbers.below(6),
            Style::Large => 1,
            Style::Bulk => 300,
            Style::Tiny => 4_000 + numbers.below(12_000),
        };
        let ids = match style {
            Style::Unique | Style::Large => false,
            Style::Mixed | Style::Bulk | Style::Tiny => numbers.percent(60),
        };
        let event = |nth| Self::event(&mut numbers, (number, nth, count), style, ids);
        Self { events: (0..count).map(event).collect(), expected: None, durability: None }
    }

    fn event(
        numbers: &mut Numbers,
        (number, nth, count): (u64, u64, u64),
        style: Style,
        ids: bool,
    ) -> Own {
        let mut metadata = [0; 16];
        metadata[..8].copy_from_slice(&number.to_le_bytes());
        metadata[8..12].copy_from_slice(&(nth as u32).to_le_bytes());
        metadata[12..].copy_from_slice(&(count as u32).to_le_bytes());
        let mut own = Own {
            entity: format!("entity:{}", numbers.below(6)),
            fact: format!("fact:{}", numbers.below(4)),
            scope: String::new(),
            tags: Vec::new(),
            metadata,
            id: None,
            payload: Vec::new(),
        };
        match style {
            Style::Unique => {
                own.entity = format!("unique:{:016x}", numbers.any());
                own.fact = format!("happened:{:016x}", numbers.any());
            }
            Style::Mixed => {
                own.scope = format!("org:{}/team:{}", numbers.below(2), numbers.below(3));
                let tagged = (0..3).filter(|_| numbers.percent(50));
                own.tags = tagged.map(|tag| format!("tag:{tag}")).collect();
                own.payload = vec![number as u8; numbers.below(3000) as usize];
            }
            Style::Large => {
                own.entity = format!("large:{}", numbers.below(6));
                let length = 200_000 + numbers.below(150_000);
                own.payload = vec![number as u8 | 1; length as usize];
            }
            Style::Bulk => own.entity = format!("bulk:{}", numbers.below(50)),
            Style::Tiny => own.entity = format!("tiny:{}", numbers.below(5000)),
        }
        own.id = ids.then(|| id_of(number, nth));
        own
    }

    fn options(&self) -> AppendOptions {
        let (expected, durability) = (self.expected, self.durability);
        AppendOptions { expected, durability, ..AppendOptions::default() }
    }

    fn new_events(&self) -> Vec<NewEvent<'_>> {
        self.events.iter().map(Own::event).collect()
    }
}

fn id_of(number: u64, nth: u64) -> [u8; 16] {
    (u128::from(number + 1) << 64 | u128::from(nth)).to_be_bytes()
}

/// All appends that were handed over, by their numbers.
#[derive(Debug, Clone, Default)]
pub struct History(pub Vec<Append>);

/// What is done next: decided before it is done, so that somebody else can work out what it was.
#[derive(Debug, Clone)]
pub enum Step {
    /// An append by a caller who waits, and mostly does the work.
    Append(u64),
    /// Submissions for the writer's threads, with the numbers of their appends.
    Submit(Vec<Range<u64>>),
    /// A sync.
    Sync,
}

impl History {
    /// A history whose first appends are none of its reader's business.
    pub fn starting_at(number: u64) -> Self {
        let none = Append { events: Vec::new(), expected: None, durability: None };
        Self(vec![none; number as usize])
    }

    /// The number of the next append.
    pub fn next_number(&self) -> u64 {
        self.0.len() as u64
    }

    /// Decides what is done next.
    pub fn plan(&mut self, workload: &Workload, seed: u64, numbers: &mut Numbers) -> Step {
        match numbers.below(10) {
            0..5 => Step::Append(self.plan_append(workload, seed, numbers)),
            5..9 => {
                let submissions = 1 + numbers.below(4);
                let plan = |_| self.plan_submission(workload, seed, numbers);
                Step::Submit((0..submissions).map(plan).collect())
            }
            _ => Step::Sync,
        }
    }

    /// Several appends, some of which are refused because of others.
    fn plan_submission(
        &mut self,
        workload: &Workload,
        seed: u64,
        numbers: &mut Numbers,
    ) -> Range<u64> {
        let first = self.next_number();
        for _ in 0..=numbers.below(3) {
            let number = self.plan_append(workload, seed, numbers);
            if numbers.percent(40) {
                self.contend(number as usize);
            }
        }
        first..self.next_number()
    }

    fn plan_append(&mut self, workload: &Workload, seed: u64, numbers: &mut Numbers) -> u64 {
        let number = self.next_number();
        let styles = workload.styles;
        let mut place = numbers.below(styles.iter().map(|(_, weight)| weight).sum());
        let style = styles.iter().find(|(_, weight)| {
            let found = place < *weight;
            place = place.saturating_sub(*weight);
            found
        });
        let mut append = Append::of(seed, number, style.map_or(Style::Unique, |one| one.0));
        if numbers.percent(10) {
            append.durability = Some(Durability::Sync);
        }
        self.0.push(append);
        number
    }

    /// Lets an append want to be the first of the entity that the one before it writes to: it is refused,
    /// for what may not be durable yet.
    fn contend(&mut self, number: usize) {
        let before = number.checked_sub(1).and_then(|before| self.0.get(before));
        let entity = before.and_then(|append| append.events.first()).map(|own| own.entity.clone());
        let append = &mut self.0[number];
        if let (Some(entity), [own]) = (entity, &mut append.events[..]) {
            own.entity = entity;
            append.expected = Some(Expected::None);
        }
    }
}

/// A workload: options and a seed decide everything but the turns of the threads.
#[derive(Debug, Clone)]
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// The store's durability.
    pub durability: Durability,
    /// The appends, and how often each kind comes.
    pub styles: &'static [(Style, u64)],
    /// How often the store is opened.
    pub sessions: u64,
    /// Steps of a session.
    pub steps: u64,
    /// A sync of a segment fails.
    pub failing_sync: bool,
    /// Bytes of its largest segments.
    pub segment_max_bytes: u64,
    /// How much of it is tried.
    pub scale: Scale,
}

/// How much of a workload is tried, whatever the plan.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Of a hundred moments, so many are looked at.
    pub moments_percent: u64,
    /// At most so many states of each.
    pub states_max: usize,
}

impl Scale {
    /// Everything.
    pub const ALL: Self = Self { moments_percent: 100, states_max: usize::MAX };
    /// A store that takes a second to be checked.
    pub const FEW: Self = Self { moments_percent: 10, states_max: 3 };
}

/// Where the store is. Its parent is made by it too.
pub fn root() -> PathBuf {
    PathBuf::from("/data/store")
}

impl Workload {
    /// How the store is opened.
    pub fn options(&self) -> StoreOptions {
        StoreOptions {
            durability: self.durability,
            segment_max_bytes: self.segment_max_bytes,
            fsync_event_count: 5,
            fsync_interval_ms: 2,
            ..StoreOptions::default()
        }
    }

    /// Opens the store on a recording disk.
    pub fn open(&self, disk: &Disk, machine: &Arc<Machine>) -> Result<Store> {
        let host = Arc::<Machine>::clone(machine);
        self.open_at(Arc::new(disk.clone()), host, root(), disk)
    }

    /// Opens the store in a directory.
    pub fn open_at(
        &self,
        fs: Arc<dyn Fs>,
        host: Arc<dyn Host>,
        directory: PathBuf,
        witness: &dyn Witness,
    ) -> Result<Store> {
        let store = Store::open_with(fs, host, directory, self.options())?;
        // What recovery shows has to last, whatever the durability.
        witness.promise(Promise::SyncedBelow(store.stats()?.events));
        witness.promise(Promise::KeptAside(store.recovery().torn_bytes));
        Ok(store)
    }

    /// Runs it on a fresh disk. What is not promised to work, because a sync has failed, may fail.
    pub fn run(&self, seed: u64, disk: &Disk) -> Result<History> {
        let machine = Machine::new(seed, 0);
        let mut history = History::default();
        let mut numbers = Numbers::branch(seed, 1);
        for _ in 0..self.sessions {
            if self.failing_sync {
                disk.fail_sync_after(2 + numbers.below(self.steps * 2));
            }
            let store = self.open(disk, &machine)?;
            let witness = Arc::new(disk.clone());
            let mut session = Session { workload: self, witness, store: &store, seed, history };
            for _ in 0..self.steps {
                session.step(&mut numbers);
            }
            history = session.history;
            if store.close().is_ok() {
                disk.promise(Promise::Synced);
            }
        }
        Ok(history)
    }
}

/// An open store to which a workload is done.
#[derive(Debug)]
pub struct Session<'a> {
    /// Its workload.
    pub workload: &'a Workload,
    /// Who is told of promises.
    pub witness: Arc<dyn Witness>,
    /// The store.
    pub store: &'a Store,
    /// Decides what appends are like.
    pub seed: u64,
    /// What was handed over.
    pub history: History,
}

impl Session<'_> {
    /// Does something.
    pub fn step(&mut self, numbers: &mut Numbers) {
        let step = self.history.plan(self.workload, self.seed, numbers);
        self.carry_out(&step);
    }

    /// Does what was planned.
    pub fn carry_out(&self, step: &Step) {
        match step {
            Step::Append(number) => self.append_planned(*number),
            Step::Submit(submissions) => self.submit(submissions),
            Step::Sync => match self.store.sync() {
                Ok(()) => self.witness.promise(Promise::Synced),
                Err(error) => self.witness.failed(None, &error),
            },
        }
        self.look();
    }

    /// What can be seen, and what is said to be synced.
    fn look(&self) {
        let Ok(stats) = self.store.stats() else { return };
        let durable = match self.workload.durability {
            Durability::Sync => stats.events,
            Durability::Interval | Durability::None => {
                stats.synced_position.map_or(0, |last| last + 1)
            }
        };
        self.witness.promise(Promise::SyncedBelow(durable));
    }

    /// One append.
    pub fn append(&mut self, numbers: &mut Numbers) {
        let number = self.history.plan_append(self.workload, self.seed, numbers);
        self.append_planned(number);
    }

    fn append_planned(&self, number: u64) {
        let append = &self.history.0[number as usize];
        let outcome = self.store.append(&append.new_events(), &append.options());
        tell(&*self.witness, self.workload.durability, number, append, &outcome);
    }

    /// The same event names again, as a caller would who does not know what became of an append.
    pub fn retry(&mut self, lost: u64) -> Result<Receipt> {
        let number = self.history.next_number();
        let mut append = self.history.0[lost as usize].clone();
        for (own, nth) in append.events.iter_mut().zip(0..) {
            own.metadata[..8].copy_from_slice(&number.to_le_bytes());
            own.id = own.id.map(|_| id_of(number, nth));
        }
        append.expected = None;
        let outcome = self.store.append(&append.new_events(), &append.options());
        tell(&*self.witness, self.workload.durability, number, &append, &outcome);
        self.history.0.push(append);
        outcome
    }

    fn submit(&self, submissions: &[Range<u64>]) {
        let first = submissions.first().map_or(0, |range| range.start) as usize;
        let appends = self.history.0[first..].to_vec();
        let sink = Arc::new(Promising {
            witness: Arc::clone(&self.witness),
            durability: self.workload.durability,
            first,
            left: Mutex::new(appends.len()),
            appends,
            done: Condvar::new(),
        });
        for numbers in submissions {
            let mut submission = SubmissionBuilder::new();
            for number in numbers.clone() {
                let append = &self.history.0[number as usize];
                submission.push(number as u32, &append.new_events(), &append.options());
            }
            let own = Arc::clone(&sink) as Arc<dyn OutcomeSink>;
            if let Err(error) = self.store.submit(submission.finish(), own, false) {
                self.witness.failed(None, &error);
                return;
            }
        }
        sink.wait();
    }
}

/// Notes what is promised at the moment that it is.
#[derive(Debug)]
struct Promising {
    witness: Arc<dyn Witness>,
    durability: Durability,
    first: usize,
    appends: Vec<Append>,
    left: Mutex<usize>,
    done: Condvar,
}

impl Promising {
    fn wait(&self) {
        let mut left = self.left.lock();
        while *left > 0 {
            self.done.wait(&mut left);
        }
    }
}

impl OutcomeSink for Promising {
    fn deliver(&self, outcomes: Vec<(u32, Outcome)>) {
        let count = outcomes.len();
        for (number, outcome) in outcomes {
            let append = &self.appends[number as usize - self.first];
            tell(&*self.witness, self.durability, u64::from(number), append, &outcome);
        }
        let mut left = self.left.lock();
        *left = left.saturating_sub(count);
        self.done.notify_all();
    }
}

fn tell(
    witness: &dyn Witness,
    durability: Durability,
    number: u64,
    append: &Append,
    outcome: &Result<Receipt>,
) {
    let sync = Durability::Sync;
    let durable = durability == sync || append.durability == Some(sync);
    match outcome {
        Ok(Receipt { positions: Some((position, _)), duplicate: false, .. }) => {
            witness.promise(Promise::Acknowledged { append: number, position: *position, durable });
        }
        // A refusal rests on what is acknowledged, at whatever level that was.
        Err(Error::WrongExpectedVersion { entity, actual: Some(version), .. })
            if durability == sync =>
        {
            witness.promise(Promise::Reached { entity: entity.clone(), version: *version });
        }
        Ok(_) | Err(Error::WrongExpectedVersion { .. }) => {}
        Err(error) => witness.failed(Some(number), error),
    }
}
