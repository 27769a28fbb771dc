//! What a read asks for.

use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::limits::FILTER_MAX_ITEMS;
use crate::submission::{position, too_many};

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Every event.
    All,
    /// One entity's events; the window is in versions.
    Stream(String),
    /// Events that match any of the filters.
    Query(Vec<Filter>),
    /// The entities themselves, in bytewise order.
    Entities {
        /// What their names start with.
        prefix: String,
        /// The name to go on after.
        after: Option<String>,
    },
}

/// The order of a query's events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As they were appended.
    #[default]
    Position,
    /// By clock, then position.
    Clock,
}

/// A read: what, which window of it, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadSpec {
    /// What.
    pub subject: Subject,
    /// Newest first.
    pub backwards: bool,
    /// Order of a query.
    pub order: Order,
    /// Where reading starts, inclusive, in reading order.
    pub from: Option<u64>,
    /// Go on after this one, in reading order.
    pub after: Option<u64>,
    /// As if the log had so many events; `None` is the head when the read starts.
    pub as_of: Option<u64>,
    /// Most events.
    pub limit: Option<u64>,
}

impl ReadSpec {
    /// Everything there is of a subject, from its start.
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            backwards: false,
            order: Order::Position,
            from: None,
            after: None,
            as_of: None,
            limit: None,
        }
    }

    /// Reads a packed specification.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = || Error::invalid("read", "is malformed");
        let mut reader = Reader::new(bytes);
        // NaN stands for a number that is not given, -1 for what comes before position 0.
        let number = |name: &str, reader: &mut Reader<'_>| -> Result<Option<i64>> {
            let value = reader.f64().ok_or_else(malformed)?;
            match position(value) {
                _ if value.is_nan() => Ok(None),
                Some(value) => Ok(Some(value.cast_signed())),
                None if matches!(name, "after" | "asOf") && position(-value) == Some(1) => {
                    Ok(Some(-1))
                }
                None => Err(Error::invalid(
                    format!("options.{name}"),
                    "is not an integer from 0 to 2^53 - 1",
                )),
            }
        };
        let given = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let kind = reader.u8().ok_or_else(malformed)?;
        let flags = reader.u8().ok_or_else(malformed)?;
        reader.take(6).ok_or_else(malformed)?;
        let from = given(number("from", &mut reader)?);
        let after = given(number("after", &mut reader)?);
        let as_of = number("asOf", &mut reader)?.map(|position| (position + 1).cast_unsigned());
        let limit = given(number("limit", &mut reader)?);
        let subject = Self::subject(kind, &mut reader)?.ok_or_else(malformed)?;
        if reader.remaining() > 0 {
            return Err(malformed());
        }
        if from.is_some() && after.is_some() {
            return Err(Error::invalid("options.after", "is given together with from; choose one"));
        }
        let order = if flags & 2 != 0 { Order::Clock } else { Order::Position };
        Ok(Self { subject, backwards: flags & 1 != 0, order, from, after, as_of, limit })
    }

    fn subject(kind: u8, reader: &mut Reader<'_>) -> Result<Option<Subject>> {
        fn text(reader: &mut Reader<'_>) -> Option<String> {
            std::str::from_utf8(reader.bytes32()?).ok().map(str::to_owned)
        }
        Ok(match kind {
            0 => Some(Subject::All),
            1 => text(reader).map(Subject::Stream),
            2 => match reader.u32() {
                Some(count) if count as usize > FILTER_MAX_ITEMS => {
                    return Err(too_many("filters", count));
                }
                Some(count) if count as usize <= reader.remaining() => {
                    let filters = (0..count).map(|_| Filter::decode(reader));
                    Some(Subject::Query(filters.collect::<Result<_>>()?))
                }
                _ => None,
            },
            3 => (|| {
                let prefix = text(reader)?;
                let given = reader.u8()? != 0;
                let after = text(reader)?;
                Some(Subject::Entities { prefix, after: given.then_some(after) })
            })(),
            _ => None,
        })
    }
}
