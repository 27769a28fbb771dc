import { expect, test } from 'vitest'
import { Packer } from '../../src/packer.js'

// What a view of shared memory is whose other owner lets it grow between two looks at it.
function grownAfterTheFirstLook(): Uint8Array {
  return Object.defineProperty(new Uint8Array(1 << 20).fill(7), 'length', { value: 10 })
}

test('memory that grows while it is packed is packed at the length that was seen first', () => {
  const packer = new Packer()
  packer.lengthAndBytes(grownAfterTheFirstLook())
  packer.u32(5)
  expect([...packer.bytes.subarray(0, packer.at)]).toEqual([
    ...[10, 0, 0, 0],
    ...Array<number>(10).fill(7),
    ...[5, 0, 0, 0],
  ])
})
