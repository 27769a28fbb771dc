//! Stores of every format that was ever released (`fixtures/`), opened by today's engine: read in full,
//! verified, and appended to.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its fixture has failed")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tetralog_core::{
    AppendOptions, Batch, BatchEvent, Digester, Digestible, GENESIS, Hash, MetadataKind, NewEvent,
    ReadSpec, Store, StoreOptions, Subject, content_hash, format_uuid, link,
};

/// Longer payloads stand in events.json by their hash only.
const PAYLOAD_SHOWN_BYTES: usize = 256;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn parse_bytes(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// The bytes that a text describes; fixtures/README.md has its form.
fn from_hex(text: &str) -> Vec<u8> {
    let mut lines = text.lines();
    let length = lines.next().and_then(|line| line.strip_prefix("length ")).unwrap();
    let mut bytes = vec![0; length.parse().unwrap()];
    for line in lines {
        let (offset, rest) = line.split_once(": ").unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        let piece = match rest.split_once(" x ") {
            Some((byte, count)) => parse_bytes(byte).repeat(count.parse().unwrap()),
            None => parse_bytes(rest),
        };
        bytes[offset..offset + piece.len()].copy_from_slice(&piece);
    }
    bytes
}

/// Writes the files of a fixture into a directory.
fn rebuild(name: &str, target: &Path) {
    fs::create_dir(target.join("segments")).unwrap();
    for folder in ["", "segments"] {
        for entry in fs::read_dir(fixture(name).join(folder)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            if let Some(own) = file.strip_suffix(".hex") {
                let text = fs::read_to_string(fixture(name).join(folder).join(&file)).unwrap();
                #[expect(clippy::disallowed_methods, reason = "a test's files, not the engine's")]
                fs::write(target.join(folder).join(own), from_hex(&text)).unwrap();
            }
        }
    }
}

fn read_all(store: &Store) -> Vec<(BatchEvent, Hash)> {
    let read = store.read(ReadSpec::new(Subject::All)).unwrap();
    let mut events = Vec::new();
    while let Some(batch) = read.next().unwrap() {
        for event in Batch::new(batch).events(&store.source()).unwrap() {
            let previous = store.source().previous_links(&[event.position]).unwrap();
            events.push((event, previous.try_into().unwrap()));
        }
    }
    events
}

fn digest_of(event: &BatchEvent) -> Hash {
    let tags: Vec<&str> = event.tags.iter().map(String::as_str).collect();
    Digester::default().digest(&Digestible {
        entity: &event.entity,
        version: event.version,
        fact: &event.fact,
        scope: &event.scope,
        clock: &event.clock,
        id: event.id,
        recorded_us: event.recorded_us,
        tags: &tags,
        content_type: &event.content_type,
        metadata_kind: event.metadata_kind,
        metadata_hash: match event.metadata_kind {
            MetadataKind::None => GENESIS,
            _ => content_hash(&event.metadata),
        },
        payload_hash: content_hash(&event.payload),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A JSON string. The names in fixtures need no other escapes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The events as events.json has them.
fn to_json(events: &[(BatchEvent, Hash)]) -> String {
    let objects: Vec<String> =
        events.iter().map(|(event, previous)| object(event, previous)).collect();
    format!("[\n{}\n]\n", objects.join(",\n"))
}

fn object(event: &BatchEvent, previous: &Hash) -> String {
    let kind = match event.metadata_kind {
        MetadataKind::None => "none",
        MetadataKind::Bytes => "bytes",
        MetadataKind::Json => "json",
    };
    let tags: Vec<String> = event.tags.iter().map(|tag| quoted(tag)).collect();
    let shown = event.payload.len() <= PAYLOAD_SHOWN_BYTES;
    let fields = [
        ("position", event.position.to_string()),
        ("version", event.version.to_string()),
        ("entity", quoted(&event.entity)),
        ("fact", quoted(&event.fact)),
        ("scope", quoted(&event.scope)),
        ("clock", quoted(&hex(&event.clock))),
        ("id", quoted(&format_uuid(&event.id))),
        ("tags", format!("[{}]", tags.join(", "))),
        ("recordedAtUs", event.recorded_us.to_string()),
        ("contentType", quoted(&event.content_type)),
        ("metadataKind", quoted(kind)),
        ("metadata", quoted(&hex(&event.metadata))),
        ("payloadBytes", event.payload.len().to_string()),
        ("payload", if shown { quoted(&hex(&event.payload)) } else { "null".into() }),
        ("payloadHash", quoted(&hex(&content_hash(&event.payload)))),
        ("digest", quoted(&hex(&digest_of(event)))),
        ("previousLink", quoted(&hex(previous))),
        ("link", quoted(&hex(&event.link))),
    ];
    let lines: Vec<String> =
        fields.iter().map(|(name, value)| format!("    \"{name}\": {value}")).collect();
    format!("  {{\n{}\n  }}", lines.join(",\n"))
}

fn assert_verified(store: &Store, events: u64, entities: u64) {
    let mut verification = store.verify(None).unwrap();
    let report = loop {
        if let Some(report) = verification.step().unwrap() {
            break report;
        }
    };
    assert_eq!(report.damage, []);
    assert_eq!((report.ok, report.events, report.entities), (true, events, entities));
}

fn expected_events(name: &str) -> String {
    fs::read_to_string(fixture(name).join("events.json")).unwrap()
}

#[test]
fn a_store_of_format_1_is_read_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    rebuild("format-1", directory.path());
    for read_only in [true, false] {
        let options = StoreOptions { read_only, ..StoreOptions::default() };
        let store = Store::open(directory.path(), options).unwrap();
        assert_eq!(store.damage(), []);
        assert_eq!(store.recovery().torn_bytes, 0);
        assert_eq!(to_json(&read_all(&store)), expected_events("format-1"));
        assert_verified(&store, 5, 3);
        store.close().unwrap();
    }
}

#[test]
fn a_store_of_format_1_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    rebuild("format-1", directory.path());
    let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    let last = read_all(&store).pop().unwrap().0;
    let event = NewEvent { entity: "order:1", fact: "shipped", ..NewEvent::default() };
    let receipt = store.append(&[event], &AppendOptions::default()).unwrap();
    assert_eq!(receipt.positions, Some((5, 5)));
    assert_eq!(receipt.versions, Some((3, 3)));
    store.close().unwrap();

    let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    let (shipped, previous) = read_all(&store).pop().unwrap();
    assert_eq!(last.entity, "order:1");
    assert_eq!(previous, last.link);
    assert_eq!(shipped.link, link(&last.link, &digest_of(&shipped)));
    assert!(shipped.recorded_us >= last.recorded_us);
    assert_verified(&store, 6, 3);
}

#[test]
fn an_append_of_format_1_is_still_recognised_by_its_ids() {
    let directory = tempfile::tempdir().unwrap();
    rebuild("format-1", directory.path());
    let store = Store::open(directory.path(), StoreOptions::default()).unwrap();
    let before = read_all(&store);
    let events: Vec<NewEvent<'_>> = before
        .iter()
        .take(2)
        .map(|(event, _)| NewEvent {
            entity: &event.entity,
            fact: &event.fact,
            id: Some(event.id),
            ..NewEvent::default()
        })
        .collect();
    let receipt = store.append(&events, &AppendOptions::default()).unwrap();
    assert!(receipt.duplicate);
    assert_eq!(receipt.positions, Some((0, 1)));
    assert_eq!(store.head().unwrap(), Some(4));
}
