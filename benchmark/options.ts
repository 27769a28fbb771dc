// What the command lines of the benchmarks have in common.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export function inProject(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url))
}

export const resultsFolder = inProject('benchmark/results')
export const storesFolder = inProject('.tetralog')

export function wholeNumber(name: string, text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new Error(`${name} is a whole number above 0, not ${text}.`)
}

/** Runs a program; what it throws is printed as one line. */
export async function run(program: () => Promise<void>): Promise<void> {
  try {
    await program()
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

/** Works in a new folder below another, and removes it whatever happens. */
export async function inNewFolder(
  parent: string,
  name: string,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(join(parent, `${name}-`))
  try {
    await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
