// Bugs that somebody could write. Each is one or more replacements in a file, below crates/core/src unless it
// is TypeScript, whose first text stands there once, and the test that has to fail.

const cut = (test) => ({ crate: 'tetralog-proof', target: 'power_cut', test })
const settling = (test) => ({ crate: 'tetralog-proof', target: 'settling', test })
const core = (target, test) => ({ crate: 'tetralog-core', target, test })
const typescript = (target, test) => ({ target, test })

export const mutants = [
  {
    name: 'a sync is skipped',
    ...cut('synced_appends_survive_every_power_cut'),
    edits: [['writer/release.rs', 'written.segment.sync()', 'Ok::<(), crate::error::Error>(())']],
  },
  {
    name: 'appends are acknowledged before the sync',
    ...cut('synced_appends_survive_every_power_cut'),
    edits: [
      [
        'writer/release.rs',
        `            if delivery.is_synced(&self.shared) {
                self.durable.reach(&reached)?;
            }
`,
        '',
      ],
      [
        'writer/release.rs',
        `                self.publish(reached);
                delivery.release(&self.queue);`,
        `                let sync = delivery.is_synced(&self.shared);
                self.publish(reached.clone());
                delivery.release(&self.queue);
                if sync {
                    let _ = self.durable.reach(&reached);
                }`,
      ],
    ],
  },
  {
    name: 'events are published before the sync',
    ...core('writer', 'what_comes_while_a_group_is_synced_shares_the_next_sync'),
    edits: [
      [
        'writer/release.rs',
        `            if delivery.is_synced(&self.shared) {
                self.durable`,
        `            self.publish(reached.clone());
            if delivery.is_synced(&self.shared) {
                self.durable`,
      ],
    ],
  },
  {
    name: 'a refusal is released early',
    ...cut('synced_appends_survive_every_power_cut'),
    edits: [
      [
        'writer/sequencer.rs',
        'for (_, append) in &submission.appends {',
        'for (sequence, append) in &submission.appends {',
      ],
      [
        'writer/sequencer.rs',
        '            delivery.decide(outcome);',
        `            if outcome.is_err() {
                submission.sink.deliver(vec![(*sequence, outcome.clone())]);
            }
            delivery.decide(outcome);`,
      ],
    ],
  },
  {
    name: 'recovery only syncs',
    ...settling('what_the_kernel_failed_to_write_is_written_again'),
    edits: [
      ['recovery/torn.rs', 'active.file()?.write_past_cache(piece, at).at(&active.path)?;', ''],
    ],
  },
  {
    name: 'recovery publishes what it has not settled',
    ...settling('whatever_a_killed_process_leaves_lasts_once_it_is_seen_again'),
    edits: [
      [
        'recovery/active.rs',
        'settle(&active, proven.durable, scanned.end, shared.is_damaged())?;',
        '',
      ],
    ],
  },
  {
    name: 'recovery leaves names as they are',
    ...settling('names_that_a_killed_process_made_last_once_they_are_used'),
    edits: [['recovery/active.rs', 'settle_names(shared)?;', '']],
  },
  {
    name: 'recovery does not settle beside damage',
    ...settling('beside_damage_in_an_earlier_segment_the_active_one_is_settled_too'),
    edits: [
      [
        'recovery/active.rs',
        'if !shared.options.read_only && !recovery.clean {',
        'if !shared.options.read_only && !recovery.clean && !shared.is_damaged() {',
      ],
    ],
  },
  {
    name: 'rot is cut',
    ...core('damage', 'every_flipped_byte_of_the_active_segment_is_noticed'),
    edits: [
      [
        'recovery/active.rs',
        'if scanned.end < proven.offset || proven.unreadable {',
        'if length == 0 {',
      ],
    ],
  },
  {
    name: 'the end of a segment that is not the last is cut',
    ...core('damage', 'the_end_of_a_segment_that_is_not_the_last_is_never_cut'),
    edits: [
      ['recovery/active.rs', 'if is_last && !shared.is_damaged()', 'if !shared.is_damaged()'],
    ],
  },
  {
    name: 'a cut tail is not zeroed',
    ...core('damage', 'what_was_cut_never_comes_back'),
    edits: [
      [
        'recovery/torn.rs',
        'active.file()?.write_past_cache(&vec![0; torn], end).at(&active.path)?;',
        '',
      ],
      [
        'recovery/torn.rs',
        'active.file()?.write_past_cache(&zeros, end).at(&active.path)\n',
        'let _ = zeros;\n    Ok(())\n',
      ],
    ],
  },
  {
    name: 'the CRCs of records and frames are not checked',
    ...core('damage', 'every_flipped_byte_of_the_active_segment_is_noticed'),
    edits: [
      [
        'frame.rs',
        'if !crate::record::holds(record, checksum, offset + at as u64) {',
        'if record.is_empty() {',
      ],
      ['frame.rs', 'if held { Ok(at) }', 'if held || end > 0 { Ok(at) }'],
    ],
  },
  {
    name: 'a scan does not check the records behind the first of a frame',
    ...core(
      'scanning',
      'a_damaged_record_in_the_middle_of_a_frame_ends_a_scan_in_front_of_it_and_it_can_go_on_behind',
    ),
    edits: [
      [
        'query/fetch.rs',
        '.filter(|bytes| record::holds(bytes, &segment.checksum, *offset))',
        '.filter(|bytes| !bytes.is_empty())',
      ],
    ],
  },
  {
    name: 'a scan passes a frame with a damaged name',
    ...core('scanning', 'a_damaged_name_harms_only_the_events_that_have_it'),
    edits: [
      [
        'query/passed.rs',
        'segment.check_definitions(start).is_err()',
        'segment.check_definitions(start).is_err() && start == 0',
      ],
    ],
  },
  {
    name: 'the CRC leaves the offset out',
    ...core('fixtures', 'a_store_of_format_1_is_read_as_it_was_written'),
    edits: [
      ['checksum.rs', 'hasher.update(&offset.to_le_bytes());', 'let _ = (&mut hasher, offset);'],
    ],
  },
  {
    name: 'a position is used twice',
    ...cut('synced_appends_survive_every_power_cut'),
    edits: [
      [
        'writer/sequencer.rs',
        'self.next_position += self.group.count();',
        'self.next_position += self.group.count() - 1;',
      ],
    ],
  },
  {
    name: 'the directory of segments is not synced',
    ...cut('synced_appends_survive_power_cuts_while_segments_are_sealed_and_begun'),
    edits: [
      [
        'keeper.rs',
        `            self.shared.fs.sync_dir(&directory).at(&directory)?;
            self.list`,
        '            self.list',
      ],
      ['keeper.rs', 'let directory = self.shared.segments_directory();', ''],
    ],
  },
  {
    name: 'the manifest is renamed without a sync of its directory',
    ...cut('synced_appends_survive_power_cuts_while_segments_are_sealed_and_begun'),
    edits: [['fs/mod.rs', 'Some(parent) => fs.sync_dir(parent),', 'Some(_) => Ok(()),']],
  },
  {
    name: 'the seal is not synced before the next segment begins',
    ...cut('synced_appends_survive_power_cuts_while_segments_are_sealed_and_begun'),
    edits: [
      [
        'writer/rotate.rs',
        `        self.durable.sync()?;
        self.active.set_sealed();`,
        '        self.active.set_sealed();',
      ],
    ],
  },
  {
    name: 'a failed sync is forgotten',
    ...cut('nothing_is_acknowledged_after_a_failed_sync_that_a_power_cut_takes_away'),
    edits: [
      [
        'writer/release.rs',
        `            self.shared.poison(&error.to_string());
            return Err(self.shared.poisoned().unwrap_or(error));`,
        '            return Err(error);',
      ],
      [
        'writer/release.rs',
        `                self.shared.poison(&error.to_string());
                self.store_head(false);`,
        '                self.store_head(false);',
      ],
    ],
  },
  {
    name: 'an expected version is not compared',
    ...core('writer', 'expected_versions_serialize_concurrent_callers'),
    edits: [
      [
        'writer/judge.rs',
        'if head.satisfies(expected, added) {',
        'if head.satisfies(expected, added) || added == 0 {',
      ],
    ],
  },
  {
    name: 'an index forgets an event',
    ...core('model', 'a_store_in_memory_answers_like_the_model'),
    edits: [
      [
        'index/tail.rs',
        '        let fact = push(&mut self.facts, keys.fact, known.fact, local);',
        '        let fact = push(&mut self.facts, keys.fact, known.fact, if local == 3 { 2 } else { local });',
      ],
    ],
  },
  {
    name: 'links are not verified',
    ...core('damage', 'an_event_that_was_exchanged_does_not_verify'),
    edits: [
      [
        'query/verify/event.rs',
        'if link(&previous, &digest) == *record.link {',
        'if link(&previous, &digest) != crate::chain::GENESIS {',
      ],
    ],
  },
  {
    name: 'the mark of a clean close is not taken back',
    ...core('opening', 'the_first_append_takes_the_clean_mark_back_before_it_writes'),
    edits: [['writer/sequencer.rs', 'release.get().begin()?;', '']],
  },
  {
    name: 'recovery writes runs of what it has not settled',
    ...settling('no_run_outlasts_a_frame_that_it_covers'),
    edits: [['recovery/active.rs', 'tail.extent().end <= durable', 'durable > 0']],
  },
  {
    name: 'HEAD of another boot is believed',
    ...cut('what_is_said_to_be_synced_survives_every_power_cut'),
    edits: [
      [
        'recovery/active.rs',
        'head.filter(|head| head.boot_id == boot && boot != [0; 16])',
        'head.filter(|_| boot != [0; 16])',
      ],
    ],
  },
  {
    name: 'a frame says that more was synced than was',
    ...cut('what_is_said_to_be_synced_survives_every_power_cut'),
    edits: [
      [
        'writer/sequencer.rs',
        'let durable_upto = self.durable.synced_upto(&self.active);',
        'let durable_upto = self.offset;',
      ],
    ],
  },
  {
    name: 'what is cut off is not kept aside',
    ...settling('what_was_cut_off_is_still_kept_after_a_power_cut'),
    edits: [['recovery/torn.rs', 'crate::fs::replace(&*shared.fs, &path, &bytes).at(&path)?;', '']],
  },
  {
    name: 'a torn header of a spare is taken for that of a segment',
    ...core('damage', 'a_torn_header_of_a_segment_without_frames_is_no_damage'),
    edits: [
      [
        'recovery/listed.rs',
        `                if opened.spare.is_none() {
                    damaged(reason);`,
        `                opened.spare = None;
                if opened.spare.is_none() {
                    damaged(reason);`,
      ],
    ],
  },
  {
    name: 'what the device cannot read is taken for torn',
    ...core('unreadable', 'an_unreadable_tail_is_never_taken_for_torn'),
    edits: [['recovery/active.rs', 'proven.unreadable = beyond.met_unreadable();', '']],
  },
  {
    name: 'a spare whose sync failed is used',
    ...core('writer', 'a_spare_that_could_not_be_filled_is_never_used'),
    edits: [['keeper.rs', 'self.unless_failed(spare, filled)', 'let _ = filled;\n Ok(spare)']],
  },
  {
    name: 'a repair leaves its readers in the dark',
    ...core('repair', 'a_reader_is_told_that_the_store_was_repaired'),
    edits: [['head.rs', 'replaced: true, ..head })', '..head })']],
  },
  {
    name: 'a follower publishes what the writer has not',
    ...core('writer', 'a_reader_beside_the_writer_sees_nothing_that_is_not_acknowledged_yet'),
    edits: [
      [
        'follower.rs',
        'let limit = if live { head.offset } else { self.active.file_length()? };',
        'let limit = self.active.file_length()?;',
      ],
      [
        'follower.rs',
        'if let Some(reason) = scanned.stop {',
        'if let Some(reason) = scanned.stop.filter(|_| !live) {',
      ],
    ],
  },
  {
    name: 'a reader that opens shows what is not published',
    ...core('writer', 'a_reader_beside_the_writer_sees_nothing_that_is_not_acknowledged_yet'),
    edits: [
      [
        'recovery/active.rs',
        'Some(head) if shared.options.read_only => head.offset.min(length),',
        'Some(head) if shared.options.read_only => head.offset.max(length),',
      ],
    ],
  },
  {
    name: 'verification does not compare the hash of a seal',
    ...core('damage', 'a_frame_of_a_sealed_segment_that_was_exchanged_does_not_verify'),
    edits: [
      [
        'query/verify/mod.rs',
        'if at.intact && Seal::decode(frame) != Some(ours) {',
        'if at.intact && Seal::decode(frame).map(|seal| seal.frames) != Some(ours.frames) {',
      ],
    ],
  },
  {
    name: 'a repair is not verified before it is made',
    ...core('repair', 'where_bytes_are_gone_the_log_ends_and_what_was_behind_is_kept_aside'),
    edits: [
      [
        'repair/plan.rs',
        `                self.cut_at(first, &damage)?;
            }
        }`,
        `                self.cut_at(first, &damage)?;
            }
            return Ok(());
        }`,
      ],
    ],
  },
  {
    name: 'a dry run of a repair writes',
    ...core('repair', 'a_flipped_byte_is_put_right_wherever_it_is'),
    edits: [
      [
        'repair/mod.rs',
        'if dry_run || plan.changes.is_empty() {',
        'if dry_run && plan.changes.is_empty() {',
      ],
    ],
  },
  {
    name: 'a repair keeps no copy of what it changes',
    ...core('repair', 'where_bytes_are_gone_the_log_ends_and_what_was_behind_is_kept_aside'),
    edits: [['repair/apply.rs', '        keep(fs, directory, &aside, path)?;\n', '']],
  },
  {
    name: 'a repair leaves HEAD, which says that the log is longer',
    ...core('repair', 'where_bytes_are_gone_the_log_ends_and_what_was_behind_is_kept_aside'),
    edits: [
      [
        'repair/plan.rs',
        '        self.changes.insert(self.directory.join(head::NAME), Change::Remove);\n',
        '',
      ],
    ],
  },
  {
    name: 'the first link of a chain is not checked',
    ...typescript('links', 'whatever of an event is changed, its link does not hold'),
    edits: [
      [
        'src/links.ts',
        '  return candidates(event, argument)',
        '  if (before === undefined) return undefined\n  return candidates(event, argument)',
      ],
    ],
  },
]
