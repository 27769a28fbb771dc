//! What is opened when it is touched first, once for all threads.

use std::sync::OnceLock;

use super::patience;
use crate::error::{Error, Result};

/// Something that is opened already, or when it is first asked for.
#[derive(Debug)]
pub(crate) struct FirstTouch<T>(OnceLock<T>);

impl<T> FirstTouch<T> {
    /// To be opened later.
    pub(crate) const fn put_off() -> Self {
        Self(OnceLock::new())
    }

    /// Opened already.
    pub(crate) fn opened(what: T) -> Self {
        Self(OnceLock::from(what))
    }

    /// What it is, if it is open.
    #[inline]
    pub(crate) fn if_open(&self) -> Option<&T> {
        self.0.get()
    }

    /// What it is, opened by `open` the first time. A thread that must not wait opens nothing.
    #[inline]
    pub(crate) fn get(&self, open: impl FnOnce() -> Result<T>) -> Result<&T> {
        match self.0.get() {
            Some(what) => Ok(what),
            None => self.open_now(open),
        }
    }

    #[cold]
    fn open_now(&self, open: impl FnOnce() -> Result<T>) -> Result<&T> {
        if patience::is_impatient() {
            return Err(Error::WouldWait);
        }
        let what = open()?;
        Ok(self.0.get_or_init(|| what))
    }
}
