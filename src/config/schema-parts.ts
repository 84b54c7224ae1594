// What the gateway's schema and the agent's are both made of. Neither loads the other: a schema costs memory as long as the
// process lives.

import { z } from 'zod'
import { formatCidr, parseCidr } from '../core/net/cidr.ts'
import { parseSocketAddress } from './address.ts'
import { quote } from './quote.ts'

/** A text that becomes something else, or says why it can't. */
export function text<Value extends object | string | number>(description: string, pattern: string | undefined, parse: (value: string) => Value | Wrong | undefined): z.ZodType<Value, string> {
  return z.string().meta({ description, ...(pattern === undefined ? {} : { pattern }) }).transform((value, context) => {
    const parsed = parse(value)
    if (parsed !== undefined && !isWrong(parsed)) return parsed
    const message = parsed === undefined ? quote(value) : parsed.isSecret ? parsed.why : `${quote(value)}: ${parsed.why}`
    context.issues.push({ code: 'custom', message, input: value })
    return z.NEVER
  })
}

/** Why a text is not what it should be, where more can be said than what was expected. */
export class Wrong {
  readonly why: string
  /** The text must not be repeated. */
  readonly isSecret: boolean

  constructor(why: string, { isSecret = false }: { readonly isSecret?: boolean } = {}) {
    this.why = why
    this.isSecret = isSecret
  }
}

function isWrong(parsed: object | string | number): parsed is Wrong {
  return parsed instanceof Wrong
}

export const nameRule = 'lower-case letters, digits and hyphens, in parts with dots between, at most 253 characters'

export const bindAddress = text('an IP address and a port: 0.0.0.0:6443 or [::]:6443', undefined, (value) => {
  const address = parseSocketAddress(value)
  return address === undefined ? undefined : { text: value, address }
})

export const cidr = text('a network in CIDR notation, 10.0.0.0/8 or 2001:db8::/32', undefined, (value) => {
  const parsed = parseCidr(value)
  return parsed.kind === 'cidr' ? formatCidr(parsed.cidr) : new Wrong(parsed.detail)
})

export const port = z.int().min(1).max(65_535).meta({ description: 'a port, 1 to 65535' })
