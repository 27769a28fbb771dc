// The process of one task: its name and input are the arguments, what it gives is printed as JSON.
import { type Tasks, tasks } from './tasks.js'

const [name = '', input = ''] = process.argv.slice(2)
const task = tasks[name as keyof Tasks] as ((input: unknown) => unknown) | undefined
if (task === undefined) throw new Error(`There is no task ${name}.`)
process.stdout.write(JSON.stringify(await task(JSON.parse(input))))
