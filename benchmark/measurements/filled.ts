// The stores that measurements of reading share: the same events in Tetralog and in every peer.
import { join } from 'node:path'
import { Store } from 'tetralog'
import type { Peer, PeerStore } from '../contenders/peer.js'
import { batchSize, fillPeerStore, fillStore } from '../contenders/subjects.js'
import type { Settings } from '../measurement.js'
import { type Events, groupsOf } from '../workload.js'

export interface Filled extends AsyncDisposable {
  readonly store: Store
  readonly events: number
  readonly peers: readonly { readonly name: string; readonly store: PeerStore }[]
}

export interface Paths {
  readonly events: number
  readonly store: string
  readonly peers: readonly { readonly peer: Peer; readonly path: string }[]
}

export async function fillAll(
  settings: Settings,
  events: Events,
  peers: readonly Peer[],
): Promise<Paths> {
  const store = join(settings.folder, 'reads')
  await fillStore(store, groupsOf(events, batchSize))
  const filled: { peer: Peer; path: string }[] = []
  for (const [index, peer] of peers.entries()) {
    const path = join(settings.folder, `reads-peer-${index}`)
    await fillPeerStore(peer, path, events)
    filled.push({ peer, path })
  }
  return { events: events.length, store, peers: filled }
}

export async function openAll(paths: Paths): Promise<Filled> {
  const store = await Store.open(paths.store)
  const peers = paths.peers.map(({ peer, path }) => ({
    name: peer.name,
    store: peer.open(path, { isDurable: true }),
  }))
  return {
    ...{ store, peers, events: paths.events },
    async [Symbol.asyncDispose]() {
      await store.close()
      for (const peer of peers) await peer.store.close()
    },
  }
}
