//! Reads and verifications: each step runs on a thread of the pool.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, ObjectFinalize, Uint8Array};
use napi::{Env, Result};
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::json;
use tetralog_core::{Read, Source, Verification};

use crate::buffers;
use crate::convert::{progress_json, report_json, to_js};
use crate::store::whole;
use crate::work::Work;

/// One read at one head.
#[napi]
pub struct NativeRead {
    read: Arc<Read>,
}

impl NativeRead {
    pub fn new(read: Arc<Read>) -> Self {
        Self { read }
    }
}

#[napi]
impl NativeRead {
    /// The next packed batch; null at the end.
    #[napi(catch_unwind, ts_return_type = "Promise<Uint8Array | null>")]
    pub fn next(&self) -> AsyncTask<Work<Option<Vec<u8>>, Option<Uint8Array>>> {
        let read = Arc::clone(&self.read);
        Work::start(move || read.next_into(buffers::take()), |batch| batch.map(buffers::hand_over))
    }

    /// From the next batch on, events come with their previous links.
    #[napi(catch_unwind)]
    pub fn want_previous_links(&self) {
        self.read.want_previous_links();
    }

    /// How many there are.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn count(&self) -> AsyncTask<Work<u64, f64>> {
        let read = Arc::clone(&self.read);
        Work::start(move || read.count(), |count| count as f64)
    }

    /// The plan and its cost, as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn explain(&self) -> AsyncTask<Work<String, String>> {
        let read = Arc::clone(&self.read);
        let explain = move || {
            let explanation = read.explain()?;
            let (plan, touched) = (explanation.plan, explanation.records_touched);
            Ok(json!({ "plan": plan, "recordsTouched": touched }).to_string())
        };
        Work::start(explain, |text| text)
    }

    /// Ends the read, and what it does at the moment.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.read.cancel();
    }
}

/// What a source is said to hold, in bytes. It keeps the files of its store open, and V8 does not know what they
/// are worth: so that it collects the sources of closed stores before there are many.
const HELD_BYTES: i64 = 16 << 20;

/// Looks up what events need that is not in their batch, also when the store is closed.
#[napi(custom_finalize)]
pub struct NativeSource {
    source: Source,
}

impl NativeSource {
    pub fn new(env: Env, source: Source) -> Result<Self> {
        env.adjust_external_memory(HELD_BYTES)?;
        Ok(Self { source })
    }
}

impl ObjectFinalize for NativeSource {
    fn finalize(self, env: Env) -> Result<()> {
        env.adjust_external_memory(-HELD_BYTES)?;
        Ok(())
    }
}

#[napi]
impl NativeSource {
    /// The string that the event at a position refers to so.
    #[napi(catch_unwind)]
    pub fn text(&self, position: f64, reference: u32) -> Result<String> {
        self.source.text(whole(position), reference).map_err(|error| to_js(&error))
    }

    /// The previous links of the events at some positions, 32 bytes each; of the first one only, if
    /// those of all would hold the thread.
    #[napi(catch_unwind)]
    pub fn previous_links(&self, positions: &[f64]) -> Result<Uint8Array> {
        let positions: Vec<u64> = positions.iter().copied().map(whole).collect();
        let links = self.source.previous_links(&positions);
        links.map(Uint8Array::from).map_err(|error| to_js(&error))
    }
}

/// A verification under way.
#[napi]
pub struct NativeVerify {
    verification: Arc<Mutex<Verification>>,
}

impl NativeVerify {
    pub fn new(verification: Verification) -> Self {
        Self { verification: Arc::new(Mutex::new(verification)) }
    }
}

#[napi]
impl NativeVerify {
    /// Does a slice of the work; progress or the report, as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn step(&self) -> AsyncTask<Work<String, String>> {
        let verification = Arc::clone(&self.verification);
        let step = move || {
            let mut verification = verification.lock();
            Ok(match verification.step()? {
                Some(report) => report_json(&report, &verification.progress()),
                None => progress_json(&verification.progress()),
            })
        };
        Work::start(step, |text| text)
    }
}
