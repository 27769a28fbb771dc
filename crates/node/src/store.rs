//! The store's handle.
#![expect(
    clippy::needless_pass_by_value,
    clippy::too_many_arguments,
    reason = "napi hands arguments over by value, and positional ones cross fastest"
)]

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Function, Uint8Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status};
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::json;
use tetralog_core::{Durability, Error, Outcome, OutcomeSink, Read, ReadSpec, Store, StoreOptions};

use crate::convert::{damage_json, pack_outcomes, stats_json, to_js};
#[cfg(feature = "faults")]
use crate::faults::open as engine;
use crate::opening::NativeOpening;
#[cfg(not(feature = "faults"))]
use crate::opening::Watched;
use crate::point;
use crate::read::{NativeRead, NativeSource, NativeVerify};
use crate::work::Work;

type Callback = ThreadsafeFunction<Uint8Array, (), Uint8Array, Status, false, false>;
/// Memory of JavaScript that a call fills. (By this name, because napi takes `&mut` for a class.)
pub type Out<'a> = &'a mut [u8];

/// More than this is not reserved, whatever is expected: a frame is not longer.
const EXPECTED_MAX: usize = 64 << 20;

/// What reading at once gives if it would have to wait: another thread has to read then.
pub const WOULD_WAIT: i32 = -1;

/// A number that TypeScript has checked.
pub fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_sign_loss, reason = "the cast saturates: what is negative becomes 0")]
    {
        number as u64
    }
}

/// An option; NaN stands for its default.
fn option(number: f64, default: u64) -> u64 {
    if number.is_nan() { default } else { whole(number) }
}

/// Hands a group's outcomes to JavaScript with one wake-up.
struct Outcomes(Mutex<Callback>);

impl std::fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outcomes")
    }
}

impl OutcomeSink for Outcomes {
    fn deliver(&self, outcomes: Vec<(u32, Outcome)>) {
        let packed = Uint8Array::from(pack_outcomes(&outcomes));
        // Fails only while the environment goes away, and then nobody waits any more.
        self.0.lock().call(packed, ThreadsafeFunctionCallMode::NonBlocking);
    }

    fn answers(&self) -> bool {
        true
    }
}

impl Outcomes {
    fn new(env: Env, callback: &Function<'_, Uint8Array, ()>) -> Result<Self> {
        let function = callback.build_threadsafe_function::<Uint8Array>().build()?;
        let outcomes = Self(Mutex::new(function));
        outcomes.keep_alive(env, false)?;
        Ok(outcomes)
    }

    /// Whether waiting for outcomes keeps the process alive.
    fn keep_alive(&self, env: Env, alive: bool) -> Result<()> {
        let mut function = self.0.lock();
        #[expect(deprecated, reason = "the only way to change it during a function's life")]
        if alive { function.refer(&env) } else { function.unref(&env) }
    }
}

/// What an open store holds.
#[derive(Clone)]
struct Live {
    store: Arc<Store>,
    /// One for all appends, so that those of a group are handed over together.
    outcomes: Arc<Outcomes>,
}

/// A store. Closing lets go of the engine and of the callback, whenever the handle is collected.
#[napi]
pub struct NativeStore {
    handle: u32,
    live: Mutex<Option<Live>>,
    /// The read that `read_now` began or was to begin.
    begun: Mutex<Option<Arc<Read>>>,
    /// The parts so far of an append that comes in parts.
    staged: Mutex<Vec<u8>>,
    /// What `info` says after closing.
    last_info: Mutex<String>,
}

/// An open store on its way to JavaScript.
pub struct Opened(Store, Outcomes);

#[cfg(not(feature = "faults"))]
fn engine(path: String, options: StoreOptions, watched: &Watched) -> tetralog_core::Result<Store> {
    Store::open_observed(path, options, watched)
}

fn finish(opened: Opened) -> NativeStore {
    let live = Live { store: Arc::new(opened.0), outcomes: Arc::new(opened.1) };
    NativeStore {
        handle: point::register(&live.store),
        live: Mutex::new(Some(live)),
        begun: Mutex::default(),
        staged: Mutex::default(),
        last_info: Mutex::default(),
    }
}

impl Drop for NativeStore {
    fn drop(&mut self) {
        point::forget(self.handle);
    }
}

type Opening = AsyncTask<Work<Opened, NativeStore>>;

#[napi]
impl NativeStore {
    /// Opens a store on disk.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeStore>")]
    pub fn open(
        env: Env,
        path: String,
        durability: u32,
        read_only: bool,
        fsync_interval_ms: f64,
        fsync_event_count: f64,
        max_in_flight_bytes: f64,
        max_payload_bytes: f64,
        segment_max_bytes: f64,
        opening: &NativeOpening,
        on_outcomes: Function<'_, Uint8Array, ()>,
    ) -> Result<Opening> {
        let defaults = StoreOptions::default();
        let options = StoreOptions {
            durability: match durability {
                2 => Durability::Interval,
                3 => Durability::None,
                _ => Durability::Sync,
            },
            read_only,
            fsync_interval_ms: option(fsync_interval_ms, defaults.fsync_interval_ms),
            fsync_event_count: option(fsync_event_count, defaults.fsync_event_count),
            max_in_flight_bytes: option(max_in_flight_bytes, defaults.max_in_flight_bytes),
            max_payload_bytes: option(max_payload_bytes, defaults.max_payload_bytes),
            segment_max_bytes: option(segment_max_bytes, defaults.segment_max_bytes),
        };
        let outcomes = Outcomes::new(env, &on_outcomes)?;
        let watched = opening.watched();
        let open = move || Ok(Opened(engine(path, options, &watched)?, outcomes));
        Ok(Work::start(open, finish))
    }

    /// Makes a store in memory.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeStore>")]
    pub fn memory(
        env: Env,
        max_payload_bytes: f64,
        segment_max_bytes: f64,
        on_outcomes: Function<'_, Uint8Array, ()>,
    ) -> Result<Opening> {
        let defaults = StoreOptions::default();
        let options = StoreOptions {
            max_payload_bytes: option(max_payload_bytes, defaults.max_payload_bytes),
            segment_max_bytes: option(segment_max_bytes, defaults.segment_max_bytes),
            ..defaults
        };
        let outcomes = Outcomes::new(env, &on_outcomes)?;
        Ok(Work::start(move || Ok(Opened(Store::memory(options)?, outcomes)), finish))
    }

    /// What stands for the store in calls that are functions.
    #[napi(catch_unwind, getter)]
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// Id, state and what opening did, as JSON.
    #[napi(catch_unwind)]
    pub fn info(&self) -> String {
        match self.live() {
            Ok(live) => info_json(&live.store),
            Err(_) => self.last_info.lock().clone(),
        }
    }

    /// Hands packed appends to the writer; `more` announces that others follow at once. Each call of the
    /// outcomes' callback has to be answered by such a call, if only with nothing.
    #[napi(catch_unwind)]
    pub fn submit(&self, submission: &[u8], more: bool) -> Result<()> {
        let live = self.live()?;
        let bytes = copied(&live.store, submission);
        live.store.submit(bytes, live.outcomes, more).map_err(|error| to_js(&error))
    }

    /// Takes a part of an append that is too long to be packed in one turn of the event loop. With the first
    /// one comes about how many bytes there will be.
    #[napi(catch_unwind)]
    pub fn stage(&self, part: &[u8], expected: f64) -> Result<()> {
        let live = self.live()?;
        let mut staged = self.staged.lock();
        if staged.is_empty() {
            *staged = live.store.submission_buffer();
            let expected = usize::try_from(whole(expected)).unwrap_or(0).min(EXPECTED_MAX);
            staged.reserve(expected);
        }
        staged.extend_from_slice(part);
        Ok(())
    }

    /// Hands the append over whose last part was staged; `more` is as for `submit`.
    #[napi(catch_unwind)]
    pub fn submit_staged(&self, more: bool) -> Result<()> {
        let mut append = std::mem::take(&mut *self.staged.lock());
        tetralog_core::set_length(&mut append);
        let live = self.live()?;
        live.store.submit(append, live.outcomes, more).map_err(|error| to_js(&error))
    }

    /// Forgets what was staged.
    #[napi(catch_unwind)]
    pub fn unstage(&self) {
        self.staged.lock().clear();
    }

    /// Hands over one packed append and waits for its outcome.
    #[napi(catch_unwind)]
    pub fn append_sync(&self, submission: &[u8]) -> Uint8Array {
        let sequence = submission.get(4..).and_then(|rest| rest.first_chunk());
        let sequence = sequence.map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let outcome = match self.engine() {
            Ok(store) => store.append_packed(copied(&store, submission)),
            Err(error) => Err(error),
        };
        pack_outcomes(&[(sequence, outcome)]).into()
    }

    /// Waiting for outcomes keeps the process alive.
    #[napi(js_name = "ref", catch_unwind)]
    pub fn refer(&self, env: Env) -> Result<()> {
        self.live().map_or(Ok(()), |live| live.outcomes.keep_alive(env, true))
    }

    /// Waiting for outcomes does not keep the process alive.
    #[napi(catch_unwind)]
    pub fn unref(&self, env: Env) -> Result<()> {
        self.live().map_or(Ok(()), |live| live.outcomes.keep_alive(env, false))
    }

    /// The newest event of an entity, as a packed batch.
    #[napi(catch_unwind, ts_return_type = "Promise<Uint8Array | null>")]
    pub fn latest_async(
        &self,
        entity: String,
    ) -> AsyncTask<Work<Option<Vec<u8>>, Option<Uint8Array>>> {
        let store = self.engine();
        Work::start(move || store?.latest(&entity), |batch| batch.map(Uint8Array::from))
    }

    /// The event at a position, as a packed batch.
    #[napi(catch_unwind, ts_return_type = "Promise<Uint8Array | null>")]
    pub fn event_async(
        &self,
        position: f64,
    ) -> AsyncTask<Work<Option<Vec<u8>>, Option<Uint8Array>>> {
        let store = self.engine();
        Work::start(move || store?.event(whole(position)), |batch| batch.map(Uint8Array::from))
    }

    /// The newest version of an entity; -1 for none.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn version_async(&self, entity: String) -> AsyncTask<Work<Option<u64>, f64>> {
        let store = self.engine();
        let convert = |version: Option<u64>| version.map_or(-1.0, |version| version as f64);
        Work::start(move || store?.version(&entity), convert)
    }

    /// The newest visible position.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn head(&self) -> AsyncTask<Work<Option<u64>, f64>> {
        let store = self.engine();
        Work::start(move || store?.head(), |head| head.map_or(-1.0, |head| head as f64))
    }

    /// Describes a read, which begins with its first step.
    #[napi(catch_unwind)]
    pub fn read(&self, spec: &[u8]) -> Result<NativeRead> {
        let read = || self.engine()?.read(ReadSpec::decode(spec)?);
        read().map(|read| NativeRead::new(Arc::new(read))).map_err(|error| to_js(&error))
    }

    /// Begins a read and puts its first batch into `out`: the batch's length, or -1 if the read has to
    /// begin on another thread. Unless that batch is the last one, `begun` gives the read.
    #[napi(catch_unwind)]
    pub fn read_now(
        &self,
        spec: &[u8],
        #[napi(ts_arg_type = "Uint8Array")] out: Out<'_>,
    ) -> Result<i32> {
        let mut begin = || {
            let read = self.engine()?.read(ReadSpec::decode(spec)?)?;
            let length = read.next_now(out)?;
            // A read that has ended would only keep its view of the log alive.
            *self.begun.lock() = (!read.has_ended()).then(|| Arc::new(read));
            Ok(length.and_then(|length| i32::try_from(length).ok()).unwrap_or(WOULD_WAIT))
        };
        begin().map_err(|error| to_js(&error))
    }

    /// How many events a read has; NaN if another thread has to count.
    #[napi(catch_unwind)]
    pub fn count_now(&self, spec: &[u8]) -> Result<f64> {
        let count = || self.engine()?.read(ReadSpec::decode(spec)?)?.count_now();
        let count = count().map_err(|error| to_js(&error))?;
        Ok(count.map_or(f64::NAN, |count| count as f64))
    }

    /// The read that `read_now` was told to begin.
    #[napi(catch_unwind)]
    pub fn begun(&self) -> Result<NativeRead> {
        let read = self.begun.lock().take();
        read.map(NativeRead::new).ok_or_else(|| to_js(&Error::Closed))
    }

    /// Looks up what events need that is not in their batch, also when the store is closed.
    #[napi(catch_unwind)]
    pub fn source(&self, env: Env) -> Result<NativeSource> {
        let store = self.engine().map_err(|error| to_js(&error))?;
        NativeSource::new(env, store.source())
    }

    /// Begins a verification.
    #[napi(catch_unwind)]
    pub fn verify(&self, entity: Option<String>) -> Result<NativeVerify> {
        let verification = self.live()?.store.verify(entity.as_deref());
        verification.map(NativeVerify::new).map_err(|error| to_js(&error))
    }

    /// Figures, as JSON; null if asking would mean waiting.
    #[napi(catch_unwind)]
    pub fn stats_now(&self) -> Result<Option<String>> {
        let stats = || self.engine()?.without_waiting(Store::stats);
        stats().map(|stats| stats.map(|stats| stats_json(&stats))).map_err(|error| to_js(&error))
    }

    /// As `stats_now`, on a thread that may wait.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn stats(&self) -> AsyncTask<Work<String, String>> {
        let store = self.engine();
        Work::start(move || store?.stats().map(|stats| stats_json(&stats)), |text| text)
    }

    /// Waits until all that was submitted is synced.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn sync(&self) -> AsyncTask<Work<(), ()>> {
        let store = self.engine();
        Work::start(move || store?.sync(), |()| ())
    }

    /// Lets pending appends finish and releases the store.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close(&self) -> AsyncTask<Work<(), ()>> {
        point::forget(self.handle);
        *self.begun.lock() = None;
        let live = self.live.lock().take();
        if let Some(live) = &live {
            *self.last_info.lock() = info_json(&live.store);
        }
        let close = move || match live {
            Some(live) => live.store.close(),
            None => Ok(()),
        };
        Work::start(close, |()| ())
    }

    fn live(&self) -> Result<Live> {
        self.live.lock().clone().ok_or_else(|| to_js(&Error::Closed))
    }

    fn engine(&self) -> tetralog_core::Result<Arc<Store>> {
        self.live.lock().as_ref().map(|live| Arc::clone(&live.store)).ok_or(Error::Closed)
    }
}

/// A submission's bytes, which JavaScript goes on writing to.
fn copied(store: &Store, submission: &[u8]) -> Vec<u8> {
    let mut bytes = store.submission_buffer();
    bytes.extend_from_slice(submission);
    bytes
}

fn info_json(store: &Store) -> String {
    let recovery = store.recovery();
    json!({
        "id": tetralog_core::format_uuid(&store.id()),
        "readOnly": store.is_read_only(),
        "damage": damage_json(&store.damage()),
        "recovery": {
            "clean": recovery.clean,
            "tornBytes": recovery.torn_bytes,
            "replayedEvents": recovery.replayed_events,
        },
    })
    .to_string()
}
