//! An event before it is recorded, its limits, and the ids and clocks that the store makes.

use crate::chain::MetadataKind;
use crate::error::{Error, Expected, Result};
use crate::limits;

/// An event to append. Borrowed: nothing is copied before it goes into a frame.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// Who: 1 to 1024 bytes, no NUL, not ending in `*`.
    pub entity: &'a str,
    /// What: 1 to 256 bytes, no NUL.
    pub fact: &'a str,
    /// Where: 0 to 1024 bytes, no NUL, not ending in `*`.
    pub scope: &'a str,
    /// When: 0 to 64 bytes; `None` lets the store make one.
    pub clock: Option<&'a [u8]>,
    /// A UUID, on all events of an append or on none; `None` lets the store make one.
    pub id: Option<[u8; 16]>,
    /// Up to 64 tags of 1 to 256 bytes.
    pub tags: Vec<&'a str>,
    /// Up to 256 bytes; empty exactly if there is no payload.
    pub content_type: &'a str,
    /// Kind of the metadata.
    pub metadata_kind: MetadataKind,
    /// Metadata; empty if the kind is `None`.
    pub metadata: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// What this event expects of its entity, earlier events of the append counted.
    pub expected: Option<Expected>,
}

impl Default for NewEvent<'_> {
    fn default() -> Self {
        Self {
            entity: "",
            fact: "",
            scope: "",
            clock: None,
            id: None,
            tags: Vec::new(),
            content_type: "",
            metadata_kind: MetadataKind::None,
            metadata: &[],
            payload: &[],
            expected: None,
        }
    }
}

impl NewEvent<'_> {
    /// Checks every limit and sorts the tags. `index` is the event's place in its append.
    pub(crate) fn check(&mut self, index: usize, payload_max: u64) -> Result<()> {
        let named = |field: &str| format!("events[{index}].{field}");
        name(self.entity, limits::ENTITY_MAX_BYTES, || named("entity"))?;
        no_star(self.entity, || named("entity"))?;
        name(self.fact, limits::FACT_MAX_BYTES, || named("fact"))?;
        text(self.scope, limits::SCOPE_MAX_BYTES, || named("scope"))?;
        no_star(self.scope, || named("scope"))?;
        at_most(self.clock.map_or(0, <[u8]>::len), limits::CLOCK_MAX_BYTES, || named("clock"))?;
        text(self.content_type, limits::CONTENT_TYPE_MAX_BYTES, || named("contentType"))?;
        for (nth, tag) in self.tags.iter().enumerate() {
            name(tag, limits::TAG_MAX_BYTES, || named(&format!("tags[{nth}]")))?;
        }
        self.tags.sort_unstable();
        self.tags.dedup();
        if self.tags.len() > limits::TAGS_MAX_COUNT {
            return Err(Error::LimitExceeded {
                argument: named("tags"),
                unit: "tags",
                limit: limits::TAGS_MAX_COUNT as u64,
                actual: self.tags.len() as u64,
            });
        }
        if self.content_type.is_empty() && !self.payload.is_empty() {
            let reason = "is missing: an event with a payload has one";
            return Err(Error::invalid(named("contentType"), reason));
        }
        if self.metadata_kind == MetadataKind::None && !self.metadata.is_empty() {
            let reason = "is given, but its kind says that there is none";
            return Err(Error::invalid(named("metadata"), reason));
        }
        let bytes = self.payload.len() as u64;
        if bytes > payload_max {
            let argument = named("payload");
            return Err(Error::LimitExceeded {
                argument,
                unit: "bytes",
                limit: payload_max,
                actual: bytes,
            });
        }
        let both = bytes + self.metadata.len() as u64;
        if both > limits::PAYLOAD_HARD_MAX_BYTES {
            let limit = limits::PAYLOAD_HARD_MAX_BYTES;
            return Err(Error::LimitExceeded {
                argument: named("metadata"),
                unit: "bytes",
                limit,
                actual: both,
            });
        }
        Ok(())
    }
}

/// A string that must not be empty.
pub(crate) fn name(value: &str, max: usize, argument: impl Fn() -> String) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(argument(), "is empty; it needs at least 1 byte"));
    }
    text(value, max, argument)
}

/// A string of at most `max` bytes without NUL.
pub(crate) fn text(value: &str, max: usize, argument: impl Fn() -> String) -> Result<()> {
    at_most(value.len(), max, &argument)?;
    if value.as_bytes().contains(&0) {
        return Err(Error::invalid(argument(), "contains a NUL character; names cannot"));
    }
    Ok(())
}

fn at_most(length: usize, max: usize, argument: impl Fn() -> String) -> Result<()> {
    if length <= max {
        return Ok(());
    }
    Err(Error::LimitExceeded {
        argument: argument(),
        unit: "bytes",
        limit: max as u64,
        actual: length as u64,
    })
}

fn no_star(value: &str, argument: impl Fn() -> String) -> Result<()> {
    if value.ends_with('*') {
        return Err(Error::invalid(
            argument(),
            "ends in '*', which means a prefix in queries; choose another last character",
        ));
    }
    Ok(())
}

/// Makes UUIDs of version 7 (RFC 9562, section 5.7): milliseconds, then a random start that counts up,
/// so that ids of one store sort by the order in which they were made.
#[derive(Debug, Clone)]
pub(crate) struct IdMaker {
    ms: u64,
    /// The 74 bits behind the time; seeded at random with room to count.
    low: u128,
}

impl IdMaker {
    pub(crate) fn new() -> Self {
        Self { ms: 0, low: 0 }
    }

    /// `seed` is asked for once a millisecond.
    pub(crate) fn next(&mut self, now_ms: u64, seed: impl FnOnce() -> u128) -> [u8; 16] {
        const LOW_MASK: u128 = (1 << 74) - 1;
        if now_ms > self.ms {
            self.ms = now_ms;
            // The top bit stays free, so counting within a millisecond cannot overflow.
            self.low = seed() & (LOW_MASK >> 1);
        } else {
            self.low = (self.low + 1) & LOW_MASK;
        }
        let rand_a = (self.low >> 62) & 0xfff;
        let rand_b = self.low & ((1 << 62) - 1);
        let time = u128::from(self.ms & 0xffff_ffff_ffff);
        (time << 80 | 7 << 76 | rand_a << 64 | 2 << 62 | rand_b).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_version_7_and_sort_by_the_order_of_making() {
        let mut maker = IdMaker::new();
        let mut last = [0; 16];
        for i in 0..10_000_u64 {
            let id = maker.next(1_700_000_000_000 + i / 1000, || u128::MAX);
            assert_eq!(id[6] >> 4, 7);
            assert_eq!(id[8] >> 6, 2);
            assert!(id > last);
            last = id;
        }
    }

    #[test]
    fn a_clock_that_goes_back_does_not_turn_ids_back() {
        let mut maker = IdMaker::new();
        let first = maker.next(2000, || 5);
        assert!(maker.next(1000, || 0) > first);
    }

    #[test]
    fn every_limit_is_allowed_and_one_past_it_refused() {
        let long = "x".repeat(1025);
        let ok = NewEvent {
            entity: &long[..1024],
            fact: &long[..256],
            scope: &long[..1024],
            clock: Some(&[0; 64]),
            content_type: &long[..256],
            ..NewEvent::default()
        };
        assert!(ok.clone().check(0, 10).is_ok());
        let too_far: [NewEvent<'_>; 5] = [
            NewEvent { entity: &long, ..ok.clone() },
            NewEvent { fact: &long[..257], ..ok.clone() },
            NewEvent { scope: &long, ..ok.clone() },
            NewEvent { clock: Some(&[0; 65]), ..ok.clone() },
            NewEvent { payload: &[0; 11], ..ok.clone() },
        ];
        for mut event in too_far {
            let error = event.check(3, 10).unwrap_err();
            assert_eq!(error.code(), "ERR_LIMIT_EXCEEDED", "{error}");
            assert!(error.to_string().starts_with("events[3]."));
        }
        for bad in ["", "a\0b", "a*"] {
            let error = NewEvent { entity: bad, ..ok.clone() }.check(0, 10).unwrap_err();
            assert_eq!(error.code(), "ERR_INVALID_ARGUMENT");
        }
    }
}
