// Verifying, a slice of work at a time, so that it can be watched and stopped.
import { offAbort, onAbort } from './abort.js'
import type { NativeVerify } from './binding.js'
import { closed, fromNative, toDamage } from './errors.js'
import { abortSignal, progressListener, readFields } from './options.js'
import { wellFormed } from './packer.js'
import type { Session } from './session.js'
import type { VerifyOptions, VerifyReport } from './types.js'

type VerifyProgress = { events: number; bytes: number; share: number }

type Step = VerifyProgress & ({ readonly done: false } | { done: true; report: VerifyReport })

export async function verify(
  session: Session,
  options: VerifyOptions | undefined,
): Promise<VerifyReport> {
  const given = readFields(options ?? {}, 'options', ['entity', 'signal', 'onProgress'])
  const entity = given.entity === undefined ? null : wellFormed(given.entity, 'options.entity')
  const signal =
    given.signal === undefined ? undefined : abortSignal(given.signal, 'options.signal')
  const onProgress = progressListener<VerifyProgress>(given.onProgress)
  const native = begin(session, entity)
  for (;;) {
    if (signal?.aborted) throw signal.reason
    const step = await nextStep(session, native, signal)
    onProgress?.({ events: step.events, bytes: step.bytes, share: step.share })
    if (step.done) {
      const { ok, events, entities, damage } = step.report
      return { ok, events, entities, damage: Object.freeze(damage.map(toDamage)) }
    }
  }
}

function begin(session: Session, entity: string | null): NativeVerify {
  try {
    return session.native.verify(entity)
  } catch (error) {
    throw fromNative(error)
  }
}

/** A slice, unless an abort or the store's close() comes first. */
function nextStep(
  session: Session,
  native: NativeVerify,
  signal: AbortSignal | undefined,
): Promise<Step> {
  if (session.closed) return Promise.reject(closed())
  return new Promise((resolve, reject) => {
    const waiting = {
      fail(error: unknown): void {
        end()
        reject(error)
      },
    }
    const abort = (): void => waiting.fail(signal?.reason)
    const end = (): void => {
      session.done(waiting)
      offAbort(signal, abort)
    }
    session.wait(waiting)
    onAbort(signal, abort)
    native.step().then(
      (text) => {
        end()
        resolve(JSON.parse(text) as Step)
      },
      (error: unknown) => waiting.fail(fromNative(error)),
    )
  })
}
