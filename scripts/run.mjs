import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Prints one sentence and ends the process as failed. */
export function fail(sentence) {
  console.error(sentence)
  process.exit(1)
}

/** The path of a command that a development dependency brings along. */
export function localCommand(name) {
  const path = `${root}node_modules/.bin/${name}`
  if (!existsSync(path)) fail(`${name} is not installed: run "npm ci" first.`)
  return path
}

/** Runs a command at the root of the project with its output shown; resolves with its exit code. */
export function run(command, args, { onLine, env } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', onLine ? 'pipe' : 'inherit', 'inherit'],
    })
    if (onLine) showLines(child.stdout, onLine)
    child.on('error', (error) => {
      console.error(`${command} could not be started: ${error.message}`)
      resolve(1)
    })
    child.on('close', (code, signal) => {
      if (signal) console.error(`${command} was ended by ${signal}.`)
      resolve(code ?? 1)
    })
  })
}

function showLines(stream, onLine) {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text) => {
    process.stdout.write(text)
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
  stream.on('end', () => {
    if (rest !== '') onLine(rest)
  })
}
