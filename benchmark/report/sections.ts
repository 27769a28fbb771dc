// Sections of a page that are written by a program: what is between `<!-- name -->` and
// `<!-- /name -->`, each alone on its line.

export function fillSection(page: string, name: string, content: string): string {
  const start = `<!-- ${name} -->\n`
  const end = `<!-- /${name} -->`
  const from = page.indexOf(start)
  const to = page.indexOf(end, from)
  if (from === -1 || to === -1) throw new Error(`The page has no section "${name}".`)
  return `${page.slice(0, from + start.length)}\n${content}\n\n${page.slice(to)}`
}
