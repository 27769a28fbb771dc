//! Links of events that are not in a store.
#![expect(
    clippy::needless_pass_by_value,
    clippy::too_many_arguments,
    reason = "napi hands arguments over by value, and positional ones cross fastest"
)]

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use tetralog_core::{Digester, Digestible, GENESIS, MetadataKind, content_hash, link};

use crate::store::whole;

/// The link of an event to the one before it. Metadata is of kind 0 (none), 1 (bytes) or 2 (JSON).
#[napi(catch_unwind)]
pub fn link_of(
    previous: &[u8],
    version: f64,
    recorded_us: f64,
    id: &[u8],
    entity: String,
    fact: String,
    scope: String,
    content_type: String,
    clock: &[u8],
    tags: Vec<String>,
    metadata_kind: u32,
    metadata: &[u8],
    payload: &[u8],
) -> Uint8Array {
    let metadata_kind = match metadata_kind {
        0 => MetadataKind::None,
        1 => MetadataKind::Bytes,
        _ => MetadataKind::Json,
    };
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let digest = Digester::default().digest(&Digestible {
        entity: &entity,
        version: whole(version),
        fact: &fact,
        scope: &scope,
        clock,
        id: id.first_chunk().copied().unwrap_or_default(),
        recorded_us: whole(recorded_us),
        tags: &tags,
        content_type: &content_type,
        metadata_kind,
        metadata_hash: match metadata_kind {
            MetadataKind::None => GENESIS,
            _ => content_hash(metadata),
        },
        payload_hash: content_hash(payload),
    });
    Uint8Array::from(link(previous.first_chunk().unwrap_or(&GENESIS), &digest).to_vec())
}
