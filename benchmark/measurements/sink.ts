// What was read ends here, so that reading it is not optimised away.
const sink = { sum: 0 }

export function touch(sum: number): void {
  sink.sum += sum
}
