//! Reads and verifications: each step runs on a thread of the pool.

use std::sync::Arc;

use napi::Result;
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::json;
use tetralog_core::{Read, Verification};

use crate::convert::{progress_json, report_json, to_js};
use crate::work::Work;

/// One read at one head.
#[napi]
pub struct NativeRead {
    read: Arc<Read>,
}

impl NativeRead {
    pub fn new(read: Read) -> Self {
        Self { read: Arc::new(read) }
    }
}

#[napi]
impl NativeRead {
    /// The next packed batch; null at the end.
    #[napi(ts_return_type = "Promise<Uint8Array | null>")]
    pub fn next(&self) -> AsyncTask<Work<Option<Vec<u8>>, Option<Uint8Array>>> {
        let read = Arc::clone(&self.read);
        Work::start(move || read.next(), |batch| batch.map(Uint8Array::from))
    }

    /// The head that bounds the read, once it has begun; -1 on an empty log.
    #[napi(catch_unwind)]
    pub fn head(&self) -> f64 {
        self.read.head().map_or(-1.0, |head| head as f64)
    }

    /// How many there are.
    #[napi(ts_return_type = "Promise<number>")]
    pub fn count(&self) -> AsyncTask<Work<u64, f64>> {
        let read = Arc::clone(&self.read);
        Work::start(move || read.count(), |count| count as f64)
    }

    /// The plan and its cost, as JSON.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn explain(&self) -> AsyncTask<Work<String, String>> {
        let read = Arc::clone(&self.read);
        let explain = move || {
            let explanation = read.explain()?;
            let (plan, touched) = (explanation.plan, explanation.records_touched);
            Ok(json!({ "plan": plan, "recordsTouched": touched }).to_string())
        };
        Work::start(explain, |text| text)
    }

    /// What an event of this read is linked to.
    #[napi(catch_unwind)]
    pub fn previous_link(&self, position: f64) -> Result<Uint8Array> {
        let link = self.read.previous_link(crate::store::whole(position));
        link.map(|link| Uint8Array::from(link.to_vec())).map_err(|error| to_js(&error))
    }

    /// Frees what going on would need.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.read.cancel();
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
    #[napi(ts_return_type = "Promise<string>")]
    pub fn step(&self) -> AsyncTask<Work<String, String>> {
        let verification = Arc::clone(&self.verification);
        let step = move || {
            let mut verification = verification.lock();
            Ok(match verification.step()? {
                Some(report) => report_json(&report),
                None => progress_json(&verification.progress()),
            })
        };
        Work::start(step, |text| text)
    }
}
