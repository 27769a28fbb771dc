//! Writes what every target starts from into `corpus`: whole files of a small store. To be built with
//! `--cfg fuzzing`, so that their checksums are the fuzzer's.

use std::error::Error;
use std::fs;
use std::path::Path;

use tetralog_core::{AppendOptions, Expected, MetadataKind, NewEvent, SubmissionBuilder};
use tetralog_fuzz::{example, last_path_of, path_of};

/// Longer seeds would only slow the fuzzer down.
const LONGEST: usize = 16 << 10;
const FRAMES_AT: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    for (target, ending) in [
        ("index", ".idx"),
        ("index", ".run"),
        ("directory", ".heads"),
        ("directory", ".ids"),
        ("manifest", "MANIFEST"),
        ("head", "HEAD"),
        ("head", "catalog"),
    ] {
        write(target, ending, file(path_of(ending)))?;
    }
    for (name, path) in [("sealed", path_of(".seg")), ("active", last_path_of(".seg"))] {
        write("header", name, &file(path)[..FRAMES_AT])?;
        write("segment", name, &file(path)[FRAMES_AT..])?;
    }
    write("submission", "append", &submission())?;
    // A scan, a stream and a query, none of them with any option.
    for (name, bytes) in [("all", &[0, 0][..]), ("stream", &[1, 0]), ("query", &[2, 0])] {
        let mut spec = bytes.to_vec();
        spec.resize(64, 0);
        write("read_spec", name, &spec)?;
    }
    Ok(())
}

fn file(path: &str) -> &'static [u8] {
    &example()[path]
}

fn submission() -> Vec<u8> {
    let event = NewEvent {
        entity: "entity:1",
        fact: "happened",
        scope: "org:a/team:b",
        clock: Some(&[1, 2, 3]),
        id: Some([5; 16]),
        tags: vec!["green", "red"],
        metadata_kind: MetadataKind::Json,
        metadata: b"{}",
        content_type: "text/plain",
        payload: b"payload",
        ..NewEvent::default()
    };
    let options = AppendOptions { expected: Some(Expected::None), ..AppendOptions::default() };
    let mut builder = SubmissionBuilder::new();
    builder.push(1, &[event], &options);
    builder.finish()
}

fn write(target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let directory = Path::new("corpus").join(target);
    fs::create_dir_all(&directory)?;
    let name = name.trim_start_matches('.').to_lowercase();
    fs::write(directory.join(name), &bytes[..used.min(LONGEST)])?;
    Ok(())
}
