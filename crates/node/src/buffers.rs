//! Memory of large batches, used again. Fresh memory costs a page fault for every 4 KiB, which is
//! more than packing the events into it; what JavaScript has let go of is warm.

use std::mem::ManuallyDrop;

use napi::bindgen_prelude::Uint8Array;
use parking_lot::Mutex;

/// Bytes that may lie idle, in all. A young generation of JavaScript lets go of about so much at once.
const IDLE_MAX_BYTES: usize = 24 << 20;
/// Smaller buffers come from the allocator.
const WORTHWHILE: usize = 256 << 10;

static IDLE: Mutex<Idle> = Mutex::new(Idle { buffers: Vec::new(), bytes: 0 });

/// Buffers that nobody uses at the moment.
struct Idle {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer for a batch; maybe one without memory yet.
pub fn take() -> Vec<u8> {
    let mut idle = IDLE.lock();
    let buffer = idle.buffers.pop().unwrap_or_default();
    idle.bytes -= buffer.capacity();
    buffer
}

/// Gives a buffer back, to be used again or freed.
pub fn give_back(mut buffer: Vec<u8>) {
    let mut idle = IDLE.lock();
    let bytes = idle.bytes + buffer.capacity();
    if buffer.capacity() >= WORTHWHILE && bytes <= IDLE_MAX_BYTES {
        buffer.clear();
        idle.bytes = bytes;
        idle.buffers.push(buffer);
    }
}

/// Hands a batch to JavaScript, a long one without copying it. Its memory comes back when it is
/// collected.
pub fn hand_over(batch: Vec<u8>) -> Uint8Array {
    if batch.len() < WORTHWHILE || batch.len() < batch.capacity() / 2 {
        // Whoever keeps an event keeps its batch, so a batch must not lie in much more memory.
        let copy = Uint8Array::with_data_copied(&batch);
        give_back(batch);
        return copy;
    }
    let mut batch = ManuallyDrop::new(batch);
    let (data, length, capacity) = (batch.as_mut_ptr(), batch.len(), batch.capacity());
    // SAFETY: the memory is a vector's that nothing else owns; it is made one again when JavaScript
    // cannot reach it any more, once.
    unsafe {
        Uint8Array::with_external_data(data, length, move |data, length| {
            give_back(Vec::from_raw_parts(data, length, capacity));
        })
    }
}
