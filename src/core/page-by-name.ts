// A page of a table that changes while it is read: the names that come next, in order. Nothing is kept between pages.

/** One pass over all names, which keeps the first `limit` of those behind `after`. */
export function pageByName(names: Iterable<string>, { limit, after = '' }: { readonly limit: number; readonly after?: string | undefined }): { readonly names: readonly string[]; readonly next?: string } {
  const page: string[] = []
  let isMore = false
  for (const name of names) {
    if (name <= after) continue
    const last = page[limit - 1]
    if (last !== undefined) {
      isMore = true
      if (name > last) continue
      page.pop()
    }
    page.splice(placeIn(page, name), 0, name)
  }
  const next = page.at(-1)
  return isMore && next !== undefined ? { names: page, next } : { names: page }
}

function placeIn(sorted: readonly string[], name: string): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? '') < name) low = middle + 1
    else high = middle
  }
  return low
}
