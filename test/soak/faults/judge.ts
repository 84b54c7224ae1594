// What must hold of one connection, given its plan, what both ends saw of it and what was done meanwhile.
//
//   nobody broke it      every byte in both directions, FIN at both ends
//   a backend was killed a correct prefix
//   the backend reset    no FIN at the client, which would take the prefix for the whole
//   the client reset     no FIN at the backend, for the same reason
//   nobody answers       the alert that says so

import type { BackendFacts, ClientFacts } from './facts.ts'
import type { History } from './history.ts'
import type { ExchangePlan, Plan, StrayPlan } from './plan.ts'
import { tenantNamed } from './topology.ts'

export type Verdict =
  | { readonly kind: 'whole' | 'cut by its client' | 'cut by its backend' | 'refused' | 'unanswered' | 'stray' | 'backend killed' | 'backend down' | 'worker crashed' | 'too late to tell' }
  | { readonly kind: 'wrong'; readonly why: string }

const unrecognizedName = 112
const internalError = 80

/**
 * A client that is sent an alert has a second to read it and to close. One that writes later may lose it: node drops what has
 * been received when a write fails.
 */
const lateMsMax = 500

const wrong = (why: string): Verdict => ({ kind: 'wrong', why })

/** @param backend of the instance that answered; absent where that was killed before it could report */
export function judge(plan: Plan, client: ClientFacts, backend: BackendFacts | undefined, history: History): Verdict {
  if (client.wrong !== undefined) return wrong(`the client received ${client.wrong}`)
  if (backend?.wrong !== undefined) return wrong(`the backend received ${backend.wrong}`)
  if (client.end === 'stuck') return wrong(`stuck: nothing moved any more after ${client.receivedBytes} bytes`)
  if (client.localPort === undefined && !client.end.startsWith('left')) return wrong('the gateway did not accept it')
  if (backend !== undefined && backend.receivedBytes > client.sentBytes) return wrong(`the backend received ${backend.receivedBytes} of ${client.sentBytes} bytes that were sent`)
  return plan.kind === 'exchange' ? judgeExchange(plan, client, backend, history) : judgeStray(plan, client, history)
}

function judgeStray(plan: StrayPlan, client: ClientFacts, history: History): Verdict {
  const { kind } = plan
  if (kind === 'leaving-dial') return { kind: 'stray' }
  if (client.answeredBy !== undefined) return wrong(`${kind}: it was answered by backend ${client.answeredBy.index}`)
  if (kind === 'unknown-name' && client.alert !== unrecognizedName) {
    if (history.excuse(plan.tenant, client) === 'worker crashed') return { kind: 'worker crashed' }
    return missedAlert(client) ? { kind: 'too late to tell' } : wrong(`an unknown name got ${endOf(client)}`)
  }
  if (kind === 'garbage' && client.alert !== undefined) return wrong(`garbage got ${endOf(client)}`)
  return { kind: 'stray' }
}

function judgeExchange(plan: ExchangePlan, client: ClientFacts, backend: BackendFacts | undefined, history: History): Verdict {
  if (client.end === 'left-reset') {
    if (backend?.end === 'fin' && !client.sentFin) return wrong(`the client reset, and the backend saw FIN after ${backend.receivedBytes} of ${client.sentBytes} bytes`)
    return { kind: 'cut by its client' }
  }
  const excuse = history.excuse(plan.tenant, client)
  if (excuse === 'worker crashed') return { kind: excuse }
  const presence = history.presence(plan.tenant, client.startMs, client.answeredAtMs ?? client.endMs)
  if (presence === 'absent' && client.answeredBy !== undefined) return wrong(`tenant ${plan.tenant} was removed, and answered`)
  if (client.alert === unrecognizedName) {
    if (presence === 'present') return wrong(`tenant ${plan.tenant} was not found`)
    return { kind: 'refused' }
  }
  if (client.answeredBy === undefined && missedAlert(client)) return { kind: 'too late to tell' }
  if (presence === 'absent') return wrong(`tenant ${plan.tenant} was removed, and the client got ${endOf(client)}`)
  return client.answeredBy === undefined ? judgeUnanswered(plan, client, excuse) : judgeAnswered(plan, client, backend, { excuse, history })
}

type Excuse = ReturnType<History['excuse']>

function judgeUnanswered(plan: ExchangePlan, client: ClientFacts, excuse: Excuse): Verdict {
  const told = client.alert === internalError
  const { endpoints } = tenantNamed(plan.tenant)
  const nobodyThere = endpoints.every((endpoint) => typeof endpoint === 'string')
  if (nobodyThere) return told ? { kind: 'unanswered' } : wrong(`there is no endpoint, and the client got ${endOf(client)}`)
  if (told && (plan.backend.end === 'unanswered' || plan.tenant === 'narrow')) return { kind: 'unanswered' }
  if (excuse !== undefined) return { kind: excuse }
  // More than the gateway keeps may have been sent: a close before the answer can't be hidden any more.
  if (plan.backend.end === 'unanswered') return { kind: 'cut by its backend' }
  if (plan.backend.end === 'reset' && (told || client.end === 'reset')) return { kind: 'cut by its backend' }
  return wrong(`tenant ${plan.tenant} did not answer: ${endOf(client)}`)
}

function judgeAnswered(plan: ExchangePlan, client: ClientFacts, backend: BackendFacts | undefined, { excuse, history }: { readonly excuse: Excuse; readonly history: History }): Verdict {
  const { upBytes, downBytes, end } = plan.backend
  const completeAtClient = client.end === 'fin' && client.receivedBytes === downBytes
  // It was killed after the end, and before what it had to say of it arrived.
  if (completeAtClient && backend === undefined) return { kind: 'backend killed' }
  if (completeAtClient && backend?.end === 'fin' && backend.receivedBytes === upBytes) return end === 'reset' ? wrong('the backend reset, and both ends saw FIN') : { kind: 'whole' }
  if (excuse !== undefined) return { kind: excuse }
  // What the client had sent before its end was still on its way.
  if (completeAtClient && backend !== undefined && history.excuse(plan.tenant, { ...client, endMs: backend.endMs }) === 'worker crashed') return { kind: 'worker crashed' }
  if (end === 'reset') return client.end === 'fin' ? wrong(`the backend reset, and the client saw FIN after ${client.receivedBytes} of ${downBytes} bytes`) : { kind: 'cut by its backend' }
  const atBackend = backend === undefined ? 'the backend was killed later' : `the backend received ${backend.receivedBytes} of ${upBytes} bytes and ${backend.end}`
  return wrong(`nobody broke it; the client received ${client.receivedBytes} of ${downBytes} bytes and ${endOf(client)}, ${atBackend}`)
}

function missedAlert({ alert, end, lateMs }: ClientFacts): boolean {
  return alert === undefined && end === 'reset' && lateMs > lateMsMax
}

function endOf({ alert, end }: ClientFacts): string {
  return alert === undefined ? end : `alert ${alert} and ${end}`
}
