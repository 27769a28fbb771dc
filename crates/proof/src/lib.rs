//! Proofs that take longer than a test: `cargo run --release -p tetralog-proof -- power-cut --seed 7
//! --rounds 100`. Their short forms are tests of this crate.
//!
//! A *power cut*: a workload runs on a [`disk::Disk`], which remembers every change and every sync.
//! [`disk::Recording::cuts`] goes through the moments at which the power can fail, [`fate::States`]
//! through what each can leave on the disk, and [`check`] opens the store on it and compares it with
//! what was promised. Opening and going on is recorded and cut again.
//!
//! The same workloads and checks meet real disks and processes in [`real`]: file systems whose power is
//! cut, that fail or are full, and processes that are killed.
#![deny(unsafe_code)]
#![expect(clippy::indexing_slicing, reason = "a proof that is wrong fails by panicking")]

pub mod check;
pub mod disk;
pub mod fate;
pub mod numbers;
pub mod power_cut;
pub mod promise;
pub mod real;
pub mod workload;
