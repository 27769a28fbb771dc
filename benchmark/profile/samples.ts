// Samples of what threads were running, summed by thread and function.

export interface ThreadProfile {
  readonly thread: string
  /** Of the processor, for each item. */
  readonly us: number
  /** Those that it was found in most often, with their share of the thread. */
  readonly functions: readonly { readonly name: string; readonly share: number }[]
}

/** What a thread is called, by its number; undefined for those that have no name of their own. */
export type Names = ReadonlyMap<number, string>

export class Samples {
  readonly #threads = new Map<number, Map<string, number>>()
  #count = 0

  /** A line of `perf script -F tid,ip,sym`. */
  add(line: string): void {
    const found = /^\s*(\d+)\s+[0-9a-f]+(.*)$/.exec(line)
    if (found === null) return
    const [, thread = '', symbol = ''] = found
    this.#count += 1
    const functions = getOrSet(this.#threads, Number(thread), () => new Map<string, number>())
    add(functions, readable(symbol.trim()), 1)
  }

  /** What each group of threads spent on an item, the busiest first, if all together spent so much. Not
   *  every sample is taken that should be, so they give shares. */
  divide(cpuUs: number, names: Names, most: number): ThreadProfile[] {
    const groups = new Map<string, Map<string, number>>()
    for (const [thread, functions] of this.#threads) {
      const name = names.get(thread) ?? nameByWork(functions)
      const all = getOrSet(groups, name, () => new Map<string, number>())
      for (const [symbol, count] of functions) add(all, symbol, count)
    }
    const profiles = [...groups].map(([thread, functions]): ThreadProfile => {
      const all = [...functions.values()].reduce((sum, count) => sum + count, 0)
      const sorted = [...functions].sort(([, a], [, b]) => b - a).slice(0, most)
      return {
        thread,
        us: (cpuUs * all) / this.#count,
        functions: sorted.map(([name, count]) => ({ name, share: count / all })),
      }
    })
    return profiles.sort((a, b) => b.us - a.us)
  }
}

/** Neither libuv nor V8 names its threads in every version of Node.js, but only libuv's work for
 *  the store. */
function nameByWork(functions: ReadonlyMap<string, number>): string {
  return [...functions.keys()].some((name) => name.startsWith('tetralog')) ? 'pool' : 'V8'
}

function getOrSet<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}

function add(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count)
}

/** Without hashes, generic arguments, paths and marks of the compiler. */
function readable(symbol: string): string {
  const script = /^(?:JS|LazyCompile|Function|Script|Eval):[*~^+]?(\S*) ?(\S*)/.exec(symbol)
  if (script !== null) {
    const [, name = '', place = ''] = script
    return `${name || 'anonymous'} (${fileOf(place)})`
  }
  const native = symbol.replace(/::h[0-9a-f]{16}$/, '').replace(/\(.*$/, '')
  return withoutArguments(native) || 'unknown'
}

/** `a::<impl b::T>::c` as `a::T::c`, `<a::T as b::U>::c` as `a::T::c`, `a::T<b>::c` as `a::T::c`. */
function withoutArguments(name: string): string {
  return name
    .replace(/^<(.+?)(?: as .+?)?>::/, '$1::')
    .replace(/<impl (?:\w+::)*(\w+)>/, '$1')
    .replace(/<.*>/, '')
}

function fileOf(place: string): string {
  return place.replace(/^.*\//, '').replace(/(:\d+)+$/, '')
}
