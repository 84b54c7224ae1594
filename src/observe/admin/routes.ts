// The pages of `/v1/…`: a table of routes, and which of them a request means.

export const adminMethods = ['GET', 'PUT', 'POST', 'DELETE'] as const
export type AdminMethod = (typeof adminMethods)[number]

export interface AdminRequest {
  /** What stands in the path where the route has `:name`. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Of a PUT or POST: JSON. */
  readonly body: unknown
}

export interface AdminAnswer {
  readonly status: number
  /** Answered as JSON. */
  readonly value: object
}

export interface AdminRoute {
  readonly method: AdminMethod
  /** A segment `:name` stands for any one. */
  readonly path: `/v1/${string}`
  /** open: anybody's who reaches the address · guarded: access.ts */
  readonly access: 'open' | 'guarded'
  /** In the index. */
  readonly summary: string
  readonly answer: (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>
}

export type RouteMatch =
  | { readonly kind: 'route'; readonly route: AdminRoute; readonly params: AdminRequest['params'] }
  /** The path is there, with these methods. */
  | { readonly kind: 'other-methods'; readonly methods: readonly AdminMethod[] }
  | { readonly kind: 'none' }

/** @param path as it was sent, without its query */
export function matchRoute(routes: readonly AdminRoute[], method: string, path: string): RouteMatch {
  const segments = path.split('/')
  const methods: AdminMethod[] = []
  for (const route of routes) {
    const params = paramsIn(route.path.split('/'), segments)
    if (params === undefined) continue
    if (route.method === method) return { kind: 'route', route, params }
    methods.push(route.method)
  }
  return methods.length === 0 ? { kind: 'none' } : { kind: 'other-methods', methods }
}

function paramsIn(pattern: readonly string[], segments: readonly string[]): AdminRequest['params'] | undefined {
  if (pattern.length !== segments.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, part] of pattern.entries()) {
    const segment = decoded(segments[index] ?? '')
    if (!part.startsWith(':')) {
      if (part !== segments[index]) return undefined
    } else if (segment === undefined || segment === '') return undefined
    else params[part.slice(1)] = segment
  }
  return params
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
