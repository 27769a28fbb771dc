//! Cutting the power of an ext4 file system: what it has not brought to the device by then is lost.

use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `EXT4_IOC_SHUTDOWN`, which the kernel's headers define as `_IOR('X', 125, __u32)`.
const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// What is done before the file system stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Cut {
    /// Everything is written.
    Flushed = 0,
    /// The journal is written.
    JournalFlushed = 1,
    /// Nothing.
    Hard = 2,
}

/// Stops the file system that a directory is in. It has to be unmounted to be used again.
#[expect(unsafe_code, reason = "an ioctl")]
pub fn shut_down(directory: &Path, cut: Cut) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    // SAFETY: the kernel reads a `u32` from where the argument points, and writes nothing.
    unsafe { ioctl(directory, Setter::<SHUTDOWN, u32>::new(cut as u32)) }?;
    Ok(())
}
