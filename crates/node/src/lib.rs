//! Node.js bindings of Tetralog: conversions, and the choice of the thread that work runs on. No rule
//! of the domain lives here. What crosses is packed bytes and JSON; `src/` makes the surface of it.

mod buffers;
mod convert;
#[cfg(feature = "faults")]
pub mod faults;
pub mod links;
mod opening;
pub mod point;
mod read;
pub mod repair;
mod store;
mod work;

use napi_derive::napi;

/// How the addon was built: benchmarks refuse `debug`.
#[napi(catch_unwind)]
pub fn build_profile() -> String {
    if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned()
}

/// Version of the addon; has to be that of the package.
#[napi(catch_unwind)]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
