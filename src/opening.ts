// Opening a store that has much to read: watched, and given up on request.
import { offAbort, onAbort } from './abort.js'
import { NativeOpening } from './binding.js'
import { fromNative } from './errors.js'
import type { OpenProgress } from './types.js'

const REPORT_MS = 100

export interface Watching {
  readonly signal: AbortSignal | undefined
  readonly onProgress: ((progress: OpenProgress) => void) | undefined
}

/**
 * Opens, and reports now and then. On an abort, or if the listener throws, the opening is given up;
 * what was opened all the same goes to `discard`.
 */
export async function watched<T>(
  { signal, onProgress }: Watching,
  open: (opening: NativeOpening) => Promise<T>,
  discard: (opened: T) => Promise<void>,
): Promise<T> {
  if (signal?.aborted) throw signal.reason
  const opening = new NativeOpening()
  let failure: { readonly reason: unknown } | undefined
  const fail = (reason: unknown): void => {
    failure ??= { reason }
    opening.cancel()
  }
  const abort = (): void => fail(signal?.reason)
  const report = (isOpen: boolean): void => {
    try {
      const progress = JSON.parse(opening.progress() ?? 'null') as OpenProgress | null
      if (progress === null || progress.bytes === 0) return
      onProgress?.(isOpen ? { ...progress, share: 1 } : progress)
    } catch (error) {
      fail(error)
    }
  }
  const timer = onProgress === undefined ? undefined : setInterval(report, REPORT_MS, false)
  onAbort(signal, abort)
  try {
    const opened = await open(opening)
    if (failure === undefined) report(true)
    if (failure === undefined) return opened
    await discard(opened)
  } catch (error) {
    if (failure === undefined) throw fromNative(error)
  } finally {
    clearInterval(timer)
    offAbort(signal, abort)
  }
  throw failure?.reason
}
