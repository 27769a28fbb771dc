#!/usr/bin/env python3
"""Reads a store as docs/format.md describes it, and checks every CRC, digest, link and seal.

    python3 scripts/check-format.py [--events] STORE

Written from docs/format.md alone, so that the document is proved by it: it shares no code with the
engine. Prints counts; with --events, the events as JSON instead. Ends with exit code 1 if anything is
damaged, 2 if this is no store of a format that it knows. Needs Python 3.9 and `pip install blake3`.
"""

import json
import os
import struct
import sys
import zlib
from dataclasses import dataclass

from blake3 import blake3

PAGE = 4096
HEADER = 36
FRAME_MAX = 64 << 20
POSITION_MAX = (1 << 53) - 1
EVENTS, SEAL = 0x81, 0x82
CONTEXT = "tetralog 2026-11-21 event digest, algorithm 1"
METADATA_KINDS = ["none", "bytes", "json"]


class Unknown(Exception):
    """The store is of a format that this reader does not know."""


class Damage(Exception):
    """Something does not hold."""


def check(condition, reason):
    if not condition:
        raise Damage(reason)


def b3(data):
    return blake3(data).digest()


class Cursor:
    """Reads fields of a piece of bytes, never past its end."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, count):
        check(self.at + count <= len(self.data), "a field reaches past its record")
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self):
        return self.take(1)[0]

    def varint(self, most=2**64 - 1):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                check(byte or shift == 0, "a varint is not in its shortest form")
                check(value <= most, "a varint is too large")
                return value
        raise Damage("a varint is longer than ten bytes")


def read_manifest(directory):
    with open(os.path.join(directory, "MANIFEST"), "rb") as file:
        data = file.read()
    check(len(data) >= 84 and data[:8] == b"TETRAMAN", "MANIFEST: no magic")
    check(zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], "MANIFEST: CRC")
    format_, length, incompatible = struct.unpack_from("<IIQ", data, 8)
    if format_ != 1 or incompatible:
        raise Unknown(f"MANIFEST: format {format_}, features {incompatible:#x}")
    store_id, generation, _created, count = struct.unpack_from("<16sQQI", data, 40)
    check(length == len(data) == 84 + 16 * count, "MANIFEST: length")
    rows = [struct.unpack_from("<QQ", data, 80 + 16 * i) for i in range(count)]
    check(rows == sorted(rows) and rows, "MANIFEST: order of segments")
    return store_id, generation, rows


@dataclass
class Frame:
    offset: int
    kind: int
    base: int
    count: int
    synced: int
    recorded: int
    records: list
    body: bytes
    end: int
    fingerprint: bytes


class Segment:
    def __init__(self, path, store_id, number, generation):
        self.name = os.path.basename(path)
        with open(path, "rb") as file:
            self.data = file.read()
        page = self.data[:PAGE]
        check(len(page) == PAGE, f"{self.name}: shorter than its header page")
        self.spare = not any(page)
        if self.spare:
            return
        check(page[:8] == b"TETRALOG", f"{self.name}: no magic")
        check(zlib.crc32(page[:-4]) == struct.unpack("<I", page[-4:])[0], f"{self.name}: CRC of the header")
        format_, length, incompatible = struct.unpack_from("<IIQ", page, 8)
        (chain,) = struct.unpack_from("<I", page, 40)
        if format_ != 1 or length != PAGE or incompatible or chain != 1:
            raise Unknown(f"{self.name}: format {format_}, features {incompatible:#x}, chain {chain}")
        (own_id, own_number, own_generation, self.base, self.base_log_index, self.salt, _created) = (
            struct.unpack_from("<16sQQQQ8sQ", page, 48)
        )
        check(
            (own_id, own_number, own_generation) == (store_id, number, generation),
            f"{self.name}: belongs to another store or place",
        )
        self.running = b3(page)

    def crc(self, offset, *pieces):
        value = zlib.crc32(self.salt + struct.pack("<Q", offset))
        for piece in pieces:
            value = zlib.crc32(piece, value)
        return value

    def u32(self, offset):
        return struct.unpack_from("<I", self.data, offset)[0]

    def string(self, reference):
        """The text of a definition."""
        if reference == 0:
            return ""
        check(PAGE <= reference <= len(self.data) - 6, "a reference leads out of the segment")
        crc, length = struct.unpack_from("<IH", self.data, reference)
        check(1 <= length <= 1024, "the length of a definition")
        text = self.data[reference + 6 : reference + 6 + length]
        check(crc == self.crc(reference, self.data[reference + 4 : reference + 6], text), "CRC of a definition")
        try:
            return text.decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Damage("a string is not UTF-8") from None

    def frame(self, offset):
        """The frame at an offset; None where the frames end. Raises Damage if it is none."""
        head = self.data[offset : offset + HEADER]
        if len(head) < HEADER or not any(head):
            return None
        length, kind, flags, zero, base, count, synced, recorded, crc = struct.unpack("<IBBHQIIQI", head)
        check(crc == self.crc(offset, head[:32]), "CRC of a frame's header")
        start = HEADER + (24 if flags & 1 else 0) + (4 if flags & 2 else 0)
        check(zero == 0 and flags & ~3 == 0, "an unknown flag of a frame")
        check(length % 8 == 0 and start + 4 <= length <= FRAME_MAX, "the length of a frame")
        check(offset + length <= len(self.data), "a frame reaches past the file")
        last = offset + length - 4
        at = offset + start
        if flags & 2:
            at += self.u32(at - 4)
            check(at <= last, "definitions reach past their frame")
        covered = [self.data[offset:at]]
        body_start = at
        records = []
        if kind == EVENTS:
            for _ in range(count):
                check(at + 45 <= last, "a record does not fit its frame")
                size = self.u32(at + 4)
                check(45 <= size <= last - at, "the length of a record")
                record = self.data[at : at + size]
                check(self.u32(at) == self.crc(at, record[4:]), "CRC of a record")
                covered.append(record[:4])
                records.append((at, record))
                at += size
        covered.append(self.data[at:last])
        check(self.u32(last) == self.crc(offset, *covered), "CRC of a frame")
        if kind not in (EVENTS, SEAL) and kind & 0x80:
            raise Unknown(f"{self.name}: a frame of kind {kind:#x} at {offset}")
        body = self.data[body_start:last]
        fingerprint = head + self.data[last : last + 4]
        return Frame(offset, kind, base, count, synced, recorded, records, body, last + 4, fingerprint)


def parse_record(segment, frame, at, record):
    """All fields of a record, its strings resolved."""
    fields = Cursor(record, 8)
    link = fields.take(32)
    (distance,) = struct.unpack("<I", fields.take(4))
    check(distance == at - frame.offset, "the distance of a record")
    flags = fields.u8()
    kind = flags >> 4 & 3
    check(flags & 0xC0 == 0 and kind < 3, "the flags of a record")
    entity, fact, scope, content_type = (segment.string(fields.varint(2**32 - 1)) for _ in range(4))
    check(entity and fact, "an event has no entity or no fact")
    version, back = fields.varint(), fields.varint()
    clock_length = fields.u8()
    check(clock_length <= 64, "the length of a clock")
    clock = fields.take(clock_length)
    id_ = fields.take(16)
    count = fields.u8() if flags & 8 else 0
    tags = [segment.string(fields.varint(2**32 - 1)) for _ in range(count)]
    raw = [tag.encode() for tag in tags]
    check(raw == sorted(set(raw)), "the order of tags")
    metadata = fields.take(fields.varint()) if kind else b""
    return {
        "version": version,
        "entity": entity,
        "fact": fact,
        "scope": scope,
        "clock": clock,
        "id": id_,
        "tags": tags,
        "recorded": frame.recorded,
        "content_type": content_type,
        "metadata_kind": kind,
        "metadata": metadata,
        "payload": record[fields.at :],
        "flags": flags,
        "back": back,
        "link": link,
    }


def digest(event):
    texts = [event[name].encode() for name in ("entity", "fact", "scope", "content_type")]
    out = struct.pack("<QQ16s", event["version"], event["recorded"], event["id"])
    out += b3(event["payload"])
    out += b3(event["metadata"]) if event["metadata_kind"] else bytes(32)
    out += bytes([event["metadata_kind"], len(event["tags"]), len(event["clock"]), 0])
    out += struct.pack("<4I", *map(len, texts)) + b"".join(texts) + event["clock"]
    for tag in event["tags"]:
        text = tag.encode()
        out += struct.pack("<I", len(text)) + text
    out += bytes(-len(out) % 64)
    return blake3(out, derive_key_context=CONTEXT).digest()


class Store:
    def __init__(self, directory, on_event):
        self.on_event = on_event
        self.store_id, self.generation, self.rows = read_manifest(directory)
        self.directory = directory
        self.next_position = 0
        self.recorded = 0
        # By entity: version, position and link of the newest event.
        self.heads = {}
        self.counts = dict.fromkeys(
            ("segments", "spares", "seals", "frames", "appends", "events", "payload bytes", "torn bytes"), 0
        )

    def run(self):
        log_index, sealed = 0, True
        for nth, (number, generation) in enumerate(self.rows):
            name = f"{number:010}.seg" if generation == 1 else f"{number:010}.{generation}.seg"
            path = os.path.join(self.directory, "segments", name)
            last = nth == len(self.rows) - 1
            if last and nth > 0 and not os.path.exists(path):
                self.counts["spares"] += 1
                continue
            segment = Segment(path, self.store_id, number, generation)
            if segment.spare:
                check(last and nth > 0, f"{name}: the header page is empty")
                self.counts["spares"] += 1
                continue
            check(sealed, f"{name}: its predecessor has no seal")
            check(segment.base == self.next_position, f"{name}: base position")
            check(segment.base_log_index == log_index, f"{name}: base log index")
            frames, sealed = self.read_segment(segment)
            log_index += frames + 1
            self.counts["segments"] += 1

    def read_segment(self, segment):
        at, frames, synced = PAGE, 0, 0
        running = segment.running
        while True:
            try:
                frame = segment.frame(at)
                if frame is not None:
                    check(frame.base == self.next_position, "positions do not follow")
            except Damage as damage:
                self.torn(segment, at, synced, damage)
                return frames, False
            if frame is None:
                self.torn(segment, at, synced, "zeros where a frame is expected")
                return frames, False
            check(frame.synced <= at, f"{segment.name}: synced lies ahead of the frame at {at}")
            check(frame.recorded >= self.recorded, f"{segment.name}: the recorded time decreases at {at}")
            self.recorded = frame.recorded
            synced = max(synced, frame.synced)
            at = frame.end
            if frame.kind == SEAL:
                self.check_seal(segment, frame, frames, running)
                check(not any(segment.data[at:]), f"{segment.name}: bytes behind the seal")
                self.counts["seals"] += 1
                return frames, True
            if frame.kind == EVENTS:
                self.events(segment, frame)
            running = b3(running + frame.fingerprint)
            frames += 1
            self.counts["frames"] += 1

    def torn(self, segment, at, synced, reason):
        """Bytes behind the last whole frame: torn if nothing proves that they were synced."""
        rest = segment.data[at:].rstrip(b"\0")
        if not rest:
            check(synced <= at, f"{segment.name}: the log ends before what was synced")
            return
        for offset in range(at + 8, at + len(rest), 8):
            try:
                frame = segment.frame(offset)
            except Damage:
                continue
            if frame is not None:
                synced = max(synced, frame.synced)
        check(synced <= at, f"{segment.name}, offset {at}: {reason}, though bytes up to {synced} were synced")
        self.counts["torn bytes"] += len(rest)

    def check_seal(self, segment, frame, frames, running):
        events, next_position, sealed_frames, hash_ = struct.unpack_from("<QQQ32s", frame.body)
        check(events == self.next_position - segment.base, f"{segment.name}: events of the seal")
        check(next_position == self.next_position, f"{segment.name}: position of the seal")
        check(sealed_frames == frames, f"{segment.name}: frames of the seal")
        check(hash_ == running, f"{segment.name}: running hash of the seal")

    def events(self, segment, frame):
        for at, record in frame.records:
            where = f"{segment.name}, record at {at}"
            try:
                self.event(parse_record(segment, frame, at, record))
            except Damage as damage:
                raise Damage(f"{where}: {damage}") from None
        check(frame.records and frame.records[-1][1][44] & 1, f"{segment.name}: a frame ends within an append")

    def event(self, event):
        position = self.next_position
        version, back = event["version"], event["back"]
        before = self.heads.get(event["entity"], (-1, None, bytes(32)))
        check(version == before[0] + 1, "a version does not follow the one before it")
        check(back == (position - before[1] if version else 0), "back leads elsewhere")
        check(max(position, version) <= POSITION_MAX, "a position or version is too large")
        own = digest(event)
        check(event["link"] == b3(before[2] + own), "the link does not match")
        self.heads[event["entity"]] = (version, position, event["link"])
        self.counts["events"] += 1
        self.counts["appends"] += event["flags"] & 1
        self.counts["payload bytes"] += len(event["payload"])
        self.on_event(position, event, own, before[2])
        self.next_position += 1


def plain(position, event, own, previous):
    """An event as fixtures/ has it."""
    payload = event["payload"]
    id_ = event["id"].hex()
    return {
        "position": position,
        "version": event["version"],
        "entity": event["entity"],
        "fact": event["fact"],
        "scope": event["scope"],
        "clock": event["clock"].hex(),
        "id": "-".join([id_[:8], id_[8:12], id_[12:16], id_[16:20], id_[20:]]),
        "tags": event["tags"],
        "recordedAtUs": event["recorded"],
        "contentType": event["content_type"],
        "metadataKind": METADATA_KINDS[event["metadata_kind"]],
        "metadata": event["metadata"].hex(),
        "payloadBytes": len(payload),
        "payload": payload.hex() if len(payload) <= 256 else None,
        "payloadHash": b3(payload).hex(),
        "digest": own.hex(),
        "previousLink": previous.hex(),
        "link": event["link"].hex(),
    }


def write_events(events):
    """JSON with one field a line."""
    print("[")
    for nth, event in enumerate(events):
        fields = ",\n".join(f'    "{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in event.items())
        print("  {\n" + fields + "\n  }" + ("," if nth < len(events) - 1 else ""))
    print("]")


def main(arguments):
    as_json = "--events" in arguments
    paths = [argument for argument in arguments if not argument.startswith("--")]
    if len(paths) != 1:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    events = []
    try:
        store = Store(paths[0], (lambda *event: events.append(plain(*event))) if as_json else (lambda *event: None))
        store.run()
    except (Unknown, FileNotFoundError) as reason:
        print(f"not readable: {reason}", file=sys.stderr)
        return 2
    except Damage as reason:
        print(f"damaged: {reason}", file=sys.stderr)
        return 1
    if as_json:
        write_events(events)
        return 0
    print(f"store {store.store_id.hex()}, manifest generation {store.generation}")
    for name, count in {**store.counts, "entities": len(store.heads)}.items():
        print(f"{count:>12} {name}")
    print("every CRC, digest, link and seal holds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
