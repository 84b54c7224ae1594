// How much a document becomes once its aliases stand for what they name.
//
//   a: &a [x, x]     b: &b [*a, *a]     c: [*b, *b]      3 short lines, 8 times x
//
// Parsers share what is aliased, so such data costs nothing until somebody walks it, as validation does.

/** Of a document: 250,000 tenants have some 5,000,000. */
export const expandedNodesMax = 20_000_000
/** Our deepest value is a tenth of it. It also bounds the recursion here. */
const depthMax = 100

/** @returns why the data must not be walked; undefined where it may */
export function expansionFault(data: unknown): string | undefined {
  const nodes = countNodes(data, new Map(), 0)
  if (nodes === undefined) return `nested deeper than ${depthMax}, or an alias inside of what it names`
  return nodes > expandedNodesMax ? `aliases expand to more than ${expandedNodesMax} values` : undefined
}

/** @returns undefined for what is too deep, endless included */
function countNodes(value: unknown, known: Map<object, number>, depth: number): number | undefined {
  if (typeof value !== 'object' || value === null) return 1
  const before = known.get(value)
  if (before !== undefined) return before
  if (depth === depthMax) return undefined
  let nodes = 1
  for (const inner of Object.values(value)) {
    const innerNodes = countNodes(inner, known, depth + 1)
    if (innerNodes === undefined) return undefined
    nodes += innerNodes
  }
  known.set(value, nodes)
  return nodes
}
