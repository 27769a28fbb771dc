import { describe, expect, test, vi } from 'vitest'
import { Totals } from './totals.mjs'

function vitestReport(passed, failed, testResults = []) {
  return {
    ...{ numPassedTests: passed, numFailedTests: failed, numPendingTests: 0, numTodoTests: 0 },
    testResults,
  }
}

describe('totals', () => {
  test('add up what all runs of cargo test say', () => {
    const totals = new Totals()
    for (const line of [
      'running 12 tests',
      'test result: ok. 10 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out',
      'test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out',
    ]) {
      totals.addCargoLine(line)
    }
    expect(String(totals.settle('cargo test', 101))).toBe('13 passed, 1 failed, 2 skipped')
  })

  test('count a file of tests that could not be loaded as a failure', () => {
    const totals = new Totals()
    const broken = { status: 'failed', assertionResults: [] }
    totals.addVitestReport(vitestReport(5, 0, [broken]))
    expect(String(totals.settle('vitest', 1))).toBe('5 passed, 1 failed')
  })

  test('count a failed test once', () => {
    const totals = new Totals()
    const file = { status: 'failed', assertionResults: [{ status: 'failed' }] }
    totals.addVitestReport(vitestReport(5, 1, [file]))
    expect(String(totals.settle('vitest', 1))).toBe('5 passed, 1 failed')
  })

  test('count a runner that died, or that ran nothing, as a failure', () => {
    const complain = vi.spyOn(console, 'error').mockImplementation(() => undefined)
    expect(String(new Totals().settle('cargo test', 0))).toBe('0 passed, 1 failed')
    const totals = new Totals()
    totals.addVitestReport(vitestReport(5, 0))
    expect(String(totals.settle('vitest', 139))).toBe('5 passed, 1 failed')
    complain.mockRestore()
  })
})
