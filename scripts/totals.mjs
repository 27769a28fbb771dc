// Totals of passed, failed and skipped tests, read from what the runners say. A runner that failed
// without naming a failed test, or that ran none, counts as one failure.

const cargoTotals = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/

export class Totals {
  passed = 0
  failed = 0
  skipped = 0

  /** Takes one line of the output of `cargo test`. */
  addCargoLine(line) {
    const found = cargoTotals.exec(line)
    if (!found) return
    this.passed += Number(found[1])
    this.failed += Number(found[2])
    this.skipped += Number(found[3])
  }

  /** Takes the report of vitest's JSON reporter. */
  addVitestReport(report) {
    this.passed += report.numPassedTests
    this.failed += report.numFailedTests
    this.skipped += report.numPendingTests + report.numTodoTests
    const broken = report.testResults.filter(
      (file) => file.status === 'failed' && !file.assertionResults.some(hasFailed),
    )
    this.failed += broken.length
  }

  add(totals) {
    this.passed += totals.passed
    this.failed += totals.failed
    this.skipped += totals.skipped
  }

  /** Settles a runner that has ended: what it said must agree with its exit code. */
  settle(name, exitCode) {
    if (this.passed + this.failed === 0) {
      console.error(`${name} printed no totals (exit code ${exitCode}).`)
      this.failed += 1
    } else if (exitCode !== 0 && this.failed === 0) {
      console.error(`${name} ended with exit code ${exitCode} though no test failed.`)
      this.failed += 1
    }
    return this
  }

  toString() {
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : ''
    return `${this.passed} passed, ${this.failed} failed${skipped}`
  }
}

function hasFailed(assertion) {
  return assertion.status === 'failed'
}
