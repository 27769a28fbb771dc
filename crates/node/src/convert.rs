//! Errors, reports and outcomes as JavaScript takes them.

use serde_json::{Value, json};
use tetralog_core::{
    Damage, Error, Expected, OpenProgress, Outcome, StoreStats, VerifyProgress, VerifyReport,
    Written, format_uuid,
};

/// An engine error as a JavaScript error whose message is JSON; `src/errors.ts` makes the real one.
pub fn to_js(error: &Error) -> napi::Error {
    napi::Error::from_reason(error_json(error).to_string())
}

/// The error for a panic that was caught.
pub fn panicked() -> napi::Error {
    let reason = "the engine stopped unexpectedly".to_owned();
    to_js(&Error::Poisoned { reason })
}

fn position(position: Option<u64>) -> Value {
    position.map_or(json!(-1), |position| json!(position))
}

fn expected(expected: Expected) -> Value {
    match expected {
        Expected::Any => json!("any"),
        Expected::None => json!("none"),
        Expected::Exists => json!("exists"),
        Expected::Version(version) => json!(version),
    }
}

fn error_json(error: &Error) -> Value {
    let mut value = match error {
        Error::WrongExpectedVersion { entity, expected: wanted, actual, index } => json!({
            "entity": entity, "expected": expected(*wanted), "actual": position(*actual), "index": index,
        }),
        Error::ConditionFailed { position, index } => {
            json!({ "position": position, "index": index })
        }
        Error::IdConflict { entity, id, index } => {
            json!({ "entity": entity, "id": format_uuid(id), "index": index })
        }
        Error::InvalidArgument { argument, .. } => json!({ "argument": argument }),
        Error::LimitExceeded { argument, limit, actual, .. } => {
            json!({ "argument": argument, "limit": limit, "actual": actual })
        }
        Error::PositionAhead { position: asked, head } => {
            json!({ "position": asked, "head": position(*head) })
        }
        Error::Corrupt { damage } => json!({ "damage": damage_json(damage) }),
        Error::Locked { path, pid } => json!({ "path": path.to_string_lossy(), "pid": pid }),
        Error::Format { path, .. } | Error::DiskFull { path } => {
            json!({ "path": path.to_string_lossy() })
        }
        Error::Overloaded { pending_bytes } => json!({ "pendingBytes": pending_bytes }),
        Error::Io { path, errno, .. } => json!({ "path": path.to_string_lossy(), "errno": errno }),
        _ => json!({}),
    };
    if let Some(fields) = value.as_object_mut() {
        fields.insert("code".into(), json!(error.code()));
        fields.insert("message".into(), json!(error.to_string()));
        let written = match error.written() {
            Written::No => json!(false),
            Written::Unknown => json!("unknown"),
        };
        fields.insert("written".into(), written);
    }
    value
}

/// Damage as `src/types.ts` has it.
pub fn damage_json(damage: &[Damage]) -> Value {
    damage
        .iter()
        .map(|one| {
            let mut value = json!({
                "segment": one.segment, "offset": one.offset, "length": one.length,
                "reason": one.reason, "entities": one.entities,
            });
            if let (Some(fields), Some((from, to))) = (value.as_object_mut(), one.positions) {
                fields.insert("positions".into(), json!({ "from": from, "to": to }));
            }
            value
        })
        .collect()
}

pub fn stats_json(stats: &StoreStats) -> String {
    let mut json = json!({
        "events": stats.events, "entities": stats.entities, "head": position(stats.head),
        "syncedPosition": position(stats.synced_position), "bytes": stats.bytes,
        "segments": stats.segments, "pendingAppends": stats.pending_appends,
        "pendingBytes": stats.pending_bytes,
    });
    if let Some(progress) = stats.rebuilding {
        json["rebuilding"] = open_progress_json(progress);
    }
    json.to_string()
}

pub fn open_progress_json(progress: OpenProgress) -> Value {
    let OpenProgress { events, bytes, share } = progress;
    json!({ "events": events, "bytes": bytes, "share": share })
}

pub fn progress_json(progress: &VerifyProgress) -> String {
    let VerifyProgress { events, bytes, share } = progress;
    json!({ "done": false, "events": events, "bytes": bytes, "share": share }).to_string()
}

pub fn report_json(report: &VerifyReport, progress: &VerifyProgress) -> String {
    let VerifyProgress { events, bytes, .. } = progress;
    json!({ "done": true, "events": events, "bytes": bytes, "share": 1, "report": {
        "ok": report.ok, "events": report.events, "entities": report.entities,
        "damage": damage_json(&report.damage),
    } })
    .to_string()
}

/// Packs outcomes one after another; `src/append-queue.ts` reads them.
pub fn pack_outcomes(outcomes: &[(u32, Outcome)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(outcomes.len() * 56);
    for (sequence, outcome) in outcomes {
        pack_outcome(&mut out, *sequence, outcome);
    }
    out
}

fn pack_outcome(out: &mut Vec<u8>, sequence: u32, outcome: &Outcome) {
    let start = out.len();
    let (status, count) = match outcome {
        Ok(receipt) => (u8::from(receipt.duplicate), receipt.count),
        Err(_) => (2, 0),
    };
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&[status, 0, 0, 0]);
    out.extend_from_slice(&count.to_le_bytes());
    match outcome {
        Ok(receipt) => {
            let number = |n: Option<u64>| n.map_or(-1.0, |n| n as f64);
            for n in [
                receipt.positions.map(|p| p.0),
                receipt.positions.map(|p| p.1),
                receipt.versions.map(|v| v.0),
                receipt.versions.map(|v| v.1),
            ] {
                out.extend_from_slice(&number(n).to_le_bytes());
            }
            out.extend_from_slice(&(receipt.each_version.len() as u32).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            for version in &receipt.each_version {
                out.extend_from_slice(&(*version as f64).to_le_bytes());
            }
        }
        Err(error) => {
            let text = error_json(error).to_string();
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
    let length = (out.len() - start) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}
