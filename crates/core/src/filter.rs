//! What a query asks of the four coordinates and the tags.

use crate::codec::{Reader, put_bytes32, put_u32};
use crate::error::{Error, Result};
use crate::limits::FILTER_MAX_ITEMS;

/// A condition on a string coordinate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this string.
    Exact(String),
    /// Every string that starts so.
    Prefix(String),
    /// This scope and everything below it.
    Below(String),
}

impl Pattern {
    /// Reads an entity pattern: a trailing `*` makes a prefix.
    pub fn entity(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    /// Reads a scope pattern: `a/*` is `a` and everything below it, `*` is everything. `None` for any
    /// other trailing `*`: as a prefix of bytes it would take in neighbours (`org:acme*`, `org:acme2`).
    pub fn scope(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Prefix(String::new()));
        }
        match text.strip_suffix("/*") {
            Some(parent) => Some(Self::Below(parent.to_owned())),
            None => (!text.ends_with('*')).then(|| Self::Exact(text.to_owned())),
        }
    }

    /// Whether it is one string.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    /// Whether a string satisfies it.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Below(parent) => text
                .strip_prefix(parent.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// What every matching string starts with.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Below(text) => text,
        }
    }
}

/// A range of clocks, compared bytewise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockRange {
    /// The lowest.
    pub from: Option<Vec<u8>>,
    /// The highest, inclusive.
    pub to: Option<Vec<u8>>,
    /// The first one too high.
    pub before: Option<Vec<u8>>,
}

impl ClockRange {
    /// Whether a clock lies within.
    pub fn contains(&self, clock: &[u8]) -> bool {
        self.from.as_deref().is_none_or(|from| clock >= from) && self.allows_low(clock)
    }

    /// Whether a zone from `min` to `max` overlaps the range.
    pub(crate) fn overlaps(&self, min: &[u8], max: &[u8]) -> bool {
        self.from.as_deref().is_none_or(|from| max >= from) && self.allows_low(min)
    }

    fn allows_low(&self, clock: &[u8]) -> bool {
        self.to.as_deref().is_none_or(|to| clock <= to)
            && self.before.as_deref().is_none_or(|before| clock < before)
    }
}

/// A conjunction: every coordinate that is given must hold. A list is an OR; an empty one matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who.
    pub entity: Option<Vec<Pattern>>,
    /// What.
    pub fact: Option<Vec<String>>,
    /// Where.
    pub scope: Option<Vec<Pattern>>,
    /// When.
    pub clock: Option<ClockRange>,
    /// At least one of these tags.
    pub tags_any: Option<Vec<String>>,
    /// All of these tags.
    pub tags_all: Option<Vec<String>>,
}

/// What a filter looks at in an event.
#[derive(Debug)]
pub(crate) struct Coordinates<'a, T> {
    pub(crate) entity: &'a str,
    pub(crate) fact: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) clock: &'a [u8],
    pub(crate) tags: &'a [T],
}

impl Filter {
    /// Whether an event satisfies every coordinate.
    pub(crate) fn matches<T: AsRef<str>>(&self, event: &Coordinates<'_, T>) -> bool {
        let any = |patterns: &Vec<Pattern>, text| patterns.iter().any(|p| p.matches(text));
        let tagged = |tag: &String| event.tags.iter().any(|have| have.as_ref() == tag);
        self.entity.as_ref().is_none_or(|patterns| any(patterns, event.entity))
            && self.fact.as_ref().is_none_or(|facts| facts.iter().any(|fact| fact == event.fact))
            && self.scope.as_ref().is_none_or(|patterns| any(patterns, event.scope))
            && self.clock.as_ref().is_none_or(|range| range.contains(event.clock))
            && self.tags_any.as_ref().is_none_or(|tags| tags.iter().any(tagged))
            && self.tags_all.as_ref().is_none_or(|tags| !tags.is_empty() && tags.iter().all(tagged))
    }

    /// How many strings the filter names; `None` if it has patterns that match any number of strings.
    pub(crate) fn exact_strings(&self) -> Option<usize> {
        let exact = |pattern: &Pattern| matches!(pattern, Pattern::Exact(_));
        let patterns: Vec<&Pattern> = self.entity.iter().chain(&self.scope).flatten().collect();
        let strings = [&self.fact, &self.tags_any, &self.tags_all];
        let named: usize = strings.into_iter().flatten().map(Vec::len).sum();
        patterns.iter().all(|pattern| exact(pattern)).then_some(patterns.len() + named)
    }

    /// Reads a filter from a packed request.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Self::fields(reader)?.ok_or_else(|| Error::invalid("filter", "is cut off or malformed"))
    }

    fn fields(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let Some(present) = reader.u8() else {
            return Ok(None);
        };
        let mut filter = Self::default();
        if present & 1 != 0 {
            filter.entity =
                list(reader, "entity", |r| pattern(r, |text| Ok(Pattern::entity(text))))?;
        }
        if present & 2 != 0 {
            filter.fact = list(reader, "fact", |r| Ok(string(r)))?;
        }
        if present & 4 != 0 {
            filter.scope = list(reader, "scope", |r| pattern(r, scope_pattern))?;
        }
        if present & 8 != 0 {
            filter.clock = clock_range(reader);
        }
        if present & 16 != 0 {
            filter.tags_any = list(reader, "tags.any", |r| Ok(string(r)))?;
        }
        if present & 32 != 0 {
            filter.tags_all = list(reader, "tags.all", |r| Ok(string(r)))?;
        }
        let asked = [
            filter.entity.is_some(),
            filter.fact.is_some(),
            filter.scope.is_some(),
            filter.clock.is_some(),
            filter.tags_any.is_some(),
            filter.tags_all.is_some(),
        ];
        let complete =
            asked.iter().enumerate().all(|(bit, have)| (present & 1 << bit != 0) == *have);
        Ok(complete.then_some(filter))
    }

    /// Packs the filter as [`Filter::decode`] reads it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.push(0);
        let mut present = 0;
        if let Some(patterns) = &self.entity {
            present |= 1;
            put_patterns(out, patterns);
        }
        if let Some(facts) = &self.fact {
            present |= 2;
            put_strings(out, facts);
        }
        if let Some(patterns) = &self.scope {
            present |= 4;
            put_patterns(out, patterns);
        }
        if let Some(range) = &self.clock {
            present |= 8;
            let ends = [&range.from, &range.to, &range.before];
            let bits = ends.iter().enumerate().map(|(i, end)| u8::from(end.is_some()) << i);
            out.push(bits.sum());
            for end in ends.into_iter().flatten() {
                put_bytes32(out, end);
            }
        }
        if let Some(tags) = &self.tags_any {
            present |= 16;
            put_strings(out, tags);
        }
        if let Some(tags) = &self.tags_all {
            present |= 32;
            put_strings(out, tags);
        }
        crate::codec::patch(out, at, &[present]);
    }
}

fn list<T>(
    reader: &mut Reader<'_>,
    argument: &str,
    item: impl Fn(&mut Reader<'_>) -> Result<Option<T>>,
) -> Result<Option<Vec<T>>> {
    let Some(count) = reader.u32() else { return Ok(None) };
    if count as usize > FILTER_MAX_ITEMS {
        return Err(crate::submission::too_many(&format!("filter.{argument}"), count));
    }
    // Every item takes at least four bytes: the count is bounded by what is there.
    if count as usize > reader.remaining() / 4 {
        return Ok(None);
    }
    let mut items = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let Some(item) = item(reader)? else { return Ok(None) };
        items.push(item);
    }
    Ok(Some(items))
}

fn string(reader: &mut Reader<'_>) -> Option<String> {
    std::str::from_utf8(reader.bytes32()?).ok().map(str::to_owned)
}

fn pattern(
    reader: &mut Reader<'_>,
    parse: impl Fn(&str) -> Result<Pattern>,
) -> Result<Option<Pattern>> {
    let (Some(kind), Some(text)) = (reader.u8(), string(reader)) else { return Ok(None) };
    Ok(match kind {
        0 => Some(parse(&text)?),
        1 => Some(Pattern::Exact(text)),
        2 => Some(Pattern::Prefix(text)),
        3 => Some(Pattern::Below(text)),
        _ => None,
    })
}

fn scope_pattern(text: &str) -> Result<Pattern> {
    Pattern::scope(text).ok_or_else(|| {
        Error::invalid(
            "filter.scope",
            format!(
                "'{text}' ends in '*' but not in '/*': write '{}/*' for the scope and what is below it, or \
                 {{ prefix }} for a prefix of characters",
                text.trim_end_matches('*')
            ),
        )
    })
}

fn clock_range(reader: &mut Reader<'_>) -> Option<ClockRange> {
    let present = reader.u8()?;
    let mut end = |bit: u8| -> Option<Option<Vec<u8>>> {
        if present & bit == 0 { Some(None) } else { Some(Some(reader.bytes32()?.to_vec())) }
    };
    Some(ClockRange { from: end(1)?, to: end(2)?, before: end(4)? })
}

fn put_strings(out: &mut Vec<u8>, strings: &[String]) {
    put_u32(out, strings.len() as u32);
    for text in strings {
        put_bytes32(out, text.as_bytes());
    }
}

fn put_patterns(out: &mut Vec<u8>, patterns: &[Pattern]) {
    put_u32(out, patterns.len() as u32);
    for pattern in patterns {
        out.push(match pattern {
            Pattern::Exact(_) => 1,
            Pattern::Prefix(_) => 2,
            Pattern::Below(_) => 3,
        });
        put_bytes32(out, pattern.prefix().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_pattern_is_the_scope_and_what_is_below_not_its_neighbours() {
        let below = Pattern::scope("org:acme/*").unwrap();
        assert!(below.matches("org:acme"));
        assert!(below.matches("org:acme/team:eng"));
        assert!(below.matches("org:acme//x"));
        assert!(!below.matches("org:acme2"));
        assert!(!below.matches("org"));
        assert_eq!(Pattern::scope("org:acme*"), None);
        assert!(Pattern::scope("*").unwrap().matches(""));
        assert!(Pattern::scope("org:acme").unwrap().matches("org:acme"));
        assert!(!Pattern::scope("org:acme").unwrap().matches("org:acme/team"));
    }

    #[test]
    fn an_entity_pattern_is_a_prefix_if_it_ends_in_a_star() {
        assert!(Pattern::entity("user:*").matches("user:1"));
        assert!(!Pattern::entity("user:*").matches("users"));
        assert!(Pattern::entity("*").matches("anything"));
    }

    #[test]
    fn a_filter_reads_back_as_it_was_packed() {
        let filter = Filter {
            entity: Some(vec![Pattern::Exact("a".into()), Pattern::Prefix("b".into())]),
            fact: Some(vec![]),
            scope: Some(vec![Pattern::Below("c".into())]),
            clock: Some(ClockRange { from: Some(vec![1]), to: None, before: Some(vec![2]) }),
            tags_any: Some(vec!["t".into()]),
            tags_all: None,
        };
        let mut out = Vec::new();
        filter.encode(&mut out);
        assert_eq!(Filter::decode(&mut Reader::new(&out)).unwrap(), filter);
        for cut in 0..out.len() {
            assert!(Filter::decode(&mut Reader::new(&out[..cut])).is_err());
        }
    }
}
