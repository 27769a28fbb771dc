// Makes a large synthetic git repository to try the main job on:
//   node scripts/make-repository.mjs FOLDER [COMMITS]
// About three files a commit among some thousands in nested directories, with renames, deletions,
// merges and disordered times; always the same for the same number of commits.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fail } from './run.mjs'

const [folder, words = '100000'] = process.argv.slice(2)
const commits = Number(words)
if (!folder || !Number.isSafeInteger(commits) || commits < 1) {
  fail('Usage: node scripts/make-repository.mjs FOLDER [COMMITS]')
}

let state = 1
function random(below) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

function fileName() {
  return `package-${random(20)}/module-${random(20)}/file-${random(10)}.txt`
}

function text(value) {
  return `data ${Buffer.byteLength(value)}\n${value}\n`
}

const files = new Set()
const sideBranches = []

function change() {
  const name = fileName()
  if (files.has(name) && random(40) === 0) {
    files.delete(name)
    return `D ${name}\n`
  }
  if (files.has(name) && random(40) === 0) {
    const target = `package-${random(20)}/renamed-${random(1000)}.txt`
    files.delete(name)
    return `R ${name} ${target}\n`
  }
  files.add(name)
  const lines = Array.from({ length: 1 + random(8) }, () => `line ${random(1000)}\n`)
  return `M 100644 inline ${name}\n${text(lines.join(''))}`
}

function commit(number) {
  const isSide = random(20) === 0
  const time = 1_200_000_000 + number * 3600 + random(86_400)
  const author = `Author ${random(50)} <author${random(50)}@example.org>`
  let command = `commit refs/heads/${isSide ? `side-${number}` : 'main'}\nmark :${number}\n`
  command += `committer ${author} ${time} +0000\n${text(`Change number ${number}`)}`
  if (isSide) {
    if (mainHead > 0) command += `from :${mainHead}\n`
    sideBranches.push(number)
    return `${command}M 100644 inline side/${number % 500}.txt\n${text(`side ${number}\n`)}\n`
  }
  if (mainHead > 0) command += `from :${mainHead}\n`
  if (sideBranches.length > 5) {
    const side = sideBranches.shift()
    command += `merge :${side}\nM 100644 inline side/${side % 500}.txt\n${text(`side ${side}\n`)}`
  }
  mainHead = number
  for (let index = random(5); index >= 0; index -= 1) command += change()
  return `${command}\n`
}

let mainHead = 0
execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', folder])
const git = spawn('git', ['-C', folder, 'fast-import', '--quiet', '--force'], {
  stdio: ['pipe', 'inherit', 'inherit'],
})
for (let number = 1; number <= commits; number += 1) {
  if (!git.stdin.write(commit(number))) await once(git.stdin, 'drain')
}
git.stdin.end()
const [code] = await once(git, 'close')
process.exitCode = code
