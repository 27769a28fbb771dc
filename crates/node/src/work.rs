//! Work off the JavaScript thread. A panic becomes an error: it never reaches Node.

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::{AsyncTask, ToNapiValue, TypeName};
use napi::{Env, Result, Task};

use crate::convert::{panicked, to_js};

/// A closure that runs on a thread of the pool, and a conversion that runs on the JavaScript thread.
pub struct Work<T: Send + 'static, J: ToNapiValue + TypeName> {
    job: Option<Box<dyn FnOnce() -> tetralog_core::Result<T> + Send>>,
    convert: fn(T) -> J,
}

impl<T: Send + 'static, J: ToNapiValue + TypeName> Work<T, J> {
    pub fn start(
        job: impl FnOnce() -> tetralog_core::Result<T> + Send + 'static,
        convert: fn(T) -> J,
    ) -> AsyncTask<Self> {
        AsyncTask::new(Self { job: Some(Box::new(job)), convert })
    }
}

impl<T: Send + 'static, J: ToNapiValue + TypeName> Task for Work<T, J> {
    type Output = T;
    type JsValue = J;

    fn compute(&mut self) -> Result<T> {
        let Some(job) = self.job.take() else {
            return Err(panicked());
        };
        match catch_unwind(AssertUnwindSafe(job)) {
            Ok(result) => result.map_err(|error| to_js(&error)),
            Err(_) => Err(panicked()),
        }
    }

    fn resolve(&mut self, _env: Env, output: T) -> Result<J> {
        Ok((self.convert)(output))
    }
}
