//! Everything that can go wrong, as data. `code()` is the stable contract: the text of a message may
//! change, a code never does, and a retired one is never used again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What an append expected of an entity's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// No expectation.
    Any,
    /// The entity has no events.
    None,
    /// The entity has at least one event.
    Exists,
    /// The newest event of the entity has this version.
    Version(u64),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::None => f.write_str("no events"),
            Self::Exists => f.write_str("at least one event"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

/// What stands for the MANIFEST in [`Damage::segment`]: segments count from 1.
pub(crate) const MANIFEST: u64 = 0;

/// A damaged stretch of the log: never cut, never skipped in silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment; 0 is the MANIFEST.
    pub segment: u64,
    /// First damaged byte within the segment's file.
    pub offset: u64,
    /// Bytes up to the next whole frame or record, or to the end of the segment.
    pub length: u64,
    /// What was found.
    pub reason: String,
    /// First and last position that cannot be read, where that is known.
    pub positions: Option<(u64, u64)>,
    /// Entities known to be affected.
    pub entities: Vec<String>,
}

/// Whether a failed append may have left something in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Nothing was written.
    No,
    /// Only reopening can tell.
    Unknown,
}

/// An error of the engine.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An entity is not at the version that the append expected.
    #[error(
        "entity '{entity}' was expected to have {expected}, but {}; read it again and decide anew",
        actual.map_or_else(|| "has no events".to_owned(), |version| format!("is at version {version}"))
    )]
    WrongExpectedVersion {
        /// The entity.
        entity: String,
        /// What was expected.
        expected: Expected,
        /// Its newest version, if it has events.
        actual: Option<u64>,
        /// The event whose own expectation failed.
        index: Option<u32>,
    },
    /// An event matches the append condition.
    #[error(
        "the append condition {index} fails: the event at position {position} matches it; read again \
         and decide anew"
    )]
    ConditionFailed {
        /// The first conflicting position.
        position: u64,
        /// Which condition.
        index: u32,
    },
    /// Some of an append's ids are in their entities already, but not as one earlier append wrote them.
    #[error(
        "event {index} has the id {} that entity '{entity}' already holds, but the append as a whole is \
         not a repetition of an earlier one; give new events new ids",
        format_uuid(id)
    )]
    IdConflict {
        /// The entity of the event.
        entity: String,
        /// The id.
        id: [u8; 16],
        /// The event's place in the append.
        index: u32,
    },
    /// An argument that can never be right.
    #[error("{argument} {reason}")]
    InvalidArgument {
        /// Its name, like `events[3].entity`.
        argument: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// An argument is larger than its limit.
    #[error("{argument} has {actual} {unit}, over the limit of {limit} {unit}")]
    LimitExceeded {
        /// Its name, like `events[3].payload`.
        argument: String,
        /// What is counted: bytes, events, tags or entries.
        unit: &'static str,
        /// The limit.
        limit: u64,
        /// What was given.
        actual: u64,
    },
    /// A read is to be as of a position that the log has not reached.
    #[error(
        "position {position} is ahead of the log, whose newest event is {}",
        head.map_or_else(|| "none".to_owned(), |head| format!("at position {head}"))
    )]
    PositionAhead {
        /// The position asked for.
        position: u64,
        /// The newest visible position.
        head: Option<u64>,
    },
    /// The log is damaged.
    #[error("the log is damaged: {}", describe_damage(damage))]
    Corrupt {
        /// What is damaged, at least one entry.
        damage: Vec<Damage>,
    },
    /// Another writer has the store open.
    #[error(
        "the store at {} is open for writing elsewhere{}; close it there, or open it with readOnly",
        path.display(),
        pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    Locked {
        /// The store's directory.
        path: PathBuf,
        /// The process that holds the lock, as it wrote down itself.
        pid: Option<u32>,
    },
    /// Not a store, or one of a newer format.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file or directory that is not what it should be.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Too much is waiting for the writer.
    #[error("{pending_bytes} bytes are waiting to be written; wait for earlier appends to settle")]
    Overloaded {
        /// Bytes waiting.
        pending_bytes: u64,
    },
    /// The operating system refused.
    #[error("{}: {message} ({errno})", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Symbolic name, like `EACCES`.
        errno: String,
        /// The system's own words.
        message: String,
    },
    /// No space is left.
    #[error(
        "no space left for {}, or a quota or a limit on the size of files is reached; nothing was written; \
         make room and append again",
        path.display()
    )]
    DiskFull {
        /// The file that could not be allocated.
        path: PathBuf,
    },
    /// A write or sync failed earlier, or the writer died: nothing can be acknowledged any more.
    #[error(
        "an earlier write, sync or step of the writer failed ({reason}); whether this append is in the log is \
         unknown: reopen the store and append again with the same ids"
    )]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// The store was opened read-only, or is damaged.
    #[error("the store is read-only: {reason}")]
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// Whoever watched the work gave it up.
    #[error("the work was given up; nothing was changed")]
    Cancelled,
    /// An index file does not match its checksums. Never leaves the engine: the index is built again.
    #[error("the index {} is damaged and has to be built again", path.display())]
    StaleIndex {
        /// The index's file.
        path: PathBuf,
    },
    /// A step on a thread that must not wait would have to. Never leaves the engine: it is taken again
    /// on another thread.
    #[error("the data is not at hand")]
    WouldWait,
}

/// Result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongExpectedVersion { .. } => "ERR_WRONG_EXPECTED_VERSION",
            Self::ConditionFailed { .. } => "ERR_CONDITION_FAILED",
            Self::IdConflict { .. } => "ERR_ID_CONFLICT",
            Self::InvalidArgument { .. } => "ERR_INVALID_ARGUMENT",
            Self::LimitExceeded { .. } => "ERR_LIMIT_EXCEEDED",
            Self::PositionAhead { .. } => "ERR_POSITION_AHEAD",
            Self::Corrupt { .. } => "ERR_CORRUPT",
            Self::Locked { .. } => "ERR_LOCKED",
            Self::Format { .. } => "ERR_FORMAT",
            Self::Overloaded { .. } => "ERR_OVERLOADED",
            Self::Io { .. } | Self::StaleIndex { .. } | Self::WouldWait => "ERR_IO",
            Self::DiskFull { .. } => "ERR_DISK_FULL",
            Self::Poisoned { .. } => "ERR_POISONED",
            Self::ReadOnly { .. } => "ERR_READ_ONLY",
            Self::Closed => "ERR_CLOSED",
            Self::Cancelled => "ERR_CANCELLED",
        }
    }

    /// Whether a failed append may have left something in the log.
    pub fn written(&self) -> Written {
        match self {
            Self::Poisoned { .. } => Written::Unknown,
            _ => Written::No,
        }
    }

    /// Wraps an I/O error; a full disk gets its own kind.
    pub fn io(path: &Path, error: &io::Error) -> Self {
        let code = error.raw_os_error();
        if error.kind() == io::ErrorKind::StorageFull || matches!(code, Some(EFBIG | EDQUOT)) {
            return Self::DiskFull { path: path.to_owned() };
        }
        Self::Io { path: path.to_owned(), errno: errno_name(error), message: error.to_string() }
    }

    /// Whether something was used up before anything was written: space, or file descriptors.
    pub(crate) fn is_shortage(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::Io { errno, .. } => ["EMFILE", "ENFILE"].contains(&errno.as_str()),
            _ => false,
        }
    }

    pub(crate) fn invalid(argument: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidArgument { argument: argument.into(), reason: reason.into() }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), reason: reason.into() }
    }
}

/// Adds the path to an I/O result.
pub(crate) trait AtPath<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| Error::io(path, &error))
    }
}

/// The file would be larger than the process or the file system allows; the user's quota is used up.
const EFBIG: i32 = 27;
const EDQUOT: i32 = 122;

/// Linux's names of the errors that files and directories give.
fn errno_name(error: &io::Error) -> String {
    let Some(code) = error.raw_os_error() else {
        let name = match error.kind() {
            io::ErrorKind::UnexpectedEof => "EIO",
            io::ErrorKind::InvalidInput => "EINVAL",
            _ => "UNKNOWN",
        };
        return name.to_owned();
    };
    let name = match code {
        1 => "EPERM",
        2 => "ENOENT",
        4 => "EINTR",
        5 => "EIO",
        9 => "EBADF",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        16 => "EBUSY",
        17 => "EEXIST",
        18 => "EXDEV",
        20 => "ENOTDIR",
        21 => "EISDIR",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        26 => "ETXTBSY",
        28 => "ENOSPC",
        30 => "EROFS",
        36 => "ENAMETOOLONG",
        39 => "ENOTEMPTY",
        40 => "ELOOP",
        95 => "EOPNOTSUPP",
        116 => "ESTALE",
        _ => return format!("E{code}"),
    };
    name.to_owned()
}

fn describe_damage(damage: &[Damage]) -> String {
    let mut parts: Vec<String> = damage.iter().take(3).map(describe).collect();
    if damage.len() > 3 {
        parts.push(format!("and {} more", damage.len() - 3));
    }
    if let Some(next) = behind(damage) {
        parts.push(format!("reading can go on from position {next}"));
    }
    parts.join("; ")
}

fn describe(damage: &Damage) -> String {
    let Damage { segment, offset, length, reason, positions, .. } = damage;
    let place = match (*segment, *length) {
        (MANIFEST, _) => "MANIFEST".to_owned(),
        (_, 0) => format!("segment {segment}, from byte {offset}"),
        _ => format!("segment {segment}, bytes {offset} to {}", offset + length - 1),
    };
    let lost = match positions {
        Some((from, to)) if from == to => format!(", position {from} cannot be read"),
        Some((from, to)) => format!(", positions {from} to {to} cannot be read"),
        None => String::new(),
    };
    format!("{place}: {reason}{lost}")
}

/// The position behind the first of the lost ones and those that follow it without a gap.
fn behind(damage: &[Damage]) -> Option<u64> {
    let mut lost: Vec<_> = damage.iter().filter_map(|damage| damage.positions).collect();
    lost.sort_unstable();
    let mut next = lost.first()?.0;
    for (from, to) in lost {
        if from <= next {
            next = next.max(to + 1);
        }
    }
    Some(next)
}

/// The canonical text form of a UUID.
pub fn format_uuid(id: &[u8; 16]) -> String {
    let number = u128::from_be_bytes(*id);
    let group = |shift: u32, digits: u32| number >> shift & ((1 << (digits * 4)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        group(96, 8),
        group(80, 4),
        group(64, 4),
        group(48, 4),
        group(0, 12)
    )
}
