// What is made of the node itself: files, and addresses to listen on.

import { parseJoinToken } from '../../core/identity/join-token.ts'
import { failed, ok, type Verdict } from './verdict.ts'

export interface StateFacts {
  readonly directory: string
  /** absent: with the directory that it would be made in */
  readonly place: { readonly kind: 'present'; readonly mode: number } | { readonly kind: 'absent'; readonly above: string }
  /** In the directory, or in the one above that is there. */
  readonly isWritable: boolean
  /** Of the key's file; undefined: there is none. */
  readonly key: { readonly file: string; readonly mode: number; readonly fault: string | undefined } | undefined
}

export function stateVerdict({ directory, place, isWritable, key }: StateFacts): Verdict {
  if (key?.fault !== undefined) return failed(`the node’s key can’t be used: ${key.fault}`, 'run this as the agent’s user; if the file is broken, remove it and enrol the node with a new token')
  if (key !== undefined && (key.mode & 0o077) !== 0) return failed(`${key.file} can be read by others (mode ${octal(key.mode)})`, `chmod 600 ${key.file}; if others may have read it, revoke the node (sluice node revoke), remove the file and enrol it anew`)
  if (place.kind === 'present' && (place.mode & 0o022) !== 0 && (place.mode & 0o1000) === 0) return failed(`${directory} can be written by others (mode ${octal(place.mode)})`, `chmod 700 ${directory}`)
  if (key === undefined && !isWritable) return failed(`${place.kind === 'present' ? directory : `${directory} is not there, and ${place.above}`} can’t be written, so no key can be made`, 'run this as the agent’s user; make the directory for that user, or set state.directory')
  return ok(key === undefined ? `${directory}: no key yet; the agent makes it at its first start` : `${directory}: the node’s key is there, and nobody else can read it`)
}

export interface CertificateVerdictFacts {
  readonly certFile: string
  readonly keyFile: string
  readonly keyMode: number
  /** As the agent will call itself. */
  readonly node: string
  /** As the certificate has it. */
  readonly shown: { readonly tenant: string; readonly nodeName: string } | { readonly wrong: string }
  readonly validFromMs: number
  readonly validToMs: number
  readonly nowMs: number
}

/** Of a certificate's life: less is left when its renewal seems to have been forgotten. */
const lifeLeftMin = 0.1

export function certificateVerdict({ certFile, keyFile, keyMode, node, shown, validFromMs, validToMs, nowMs }: CertificateVerdictFacts): Verdict {
  if ('wrong' in shown) return failed(`${certFile} lets no node in: ${shown.wrong}`, 'have one signed that is in date, for clientAuth, with one O, the tenant, and one CN, the node’s name')
  if (shown.nodeName !== node) return failed(`${certFile} is for the node ${shown.nodeName}, and this one is ${node}`, `set node.name to ${shown.nodeName}, if that is this node; or put its own certificate there`)
  if ((keyMode & 0o007) !== 0) return failed(`${keyFile} can be read by others (mode ${octal(keyMode)})`, `chmod 600 ${keyFile}; if others may have read it, have a certificate signed for a new key, and revoke this one (sluice node revoke)`)
  const until = `until ${new Date(validToMs).toISOString().slice(0, 16)}Z`
  if (validToMs - nowMs < (validToMs - validFromMs) * lifeLeftMin) return failed(`${certFile} is valid ${until}, which is soon`, 'renew it before the node is locked out; the agent reads it at each try')
  return ok(`${certFile}: ${shown.nodeName} of ${shown.tenant}, ${until}`)
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8)
}

/** @param token undefined: no token.file is set; a fault: it can't be read */
export function tokenVerdict({ token, hasKey }: { readonly token: { readonly file: string; readonly text: string } | { readonly fault: string } | undefined; readonly hasKey: boolean }): Verdict {
  if (token === undefined) return hasKey ? ok('none, and the node has a key') : failed('the node has no key and no join token', 'make one beside the gateway (sluice token create), and set token.file')
  if ('fault' in token) return hasKey ? ok('none is there, and the node has a key') : failed(`the join token can’t be read: ${token.fault}`, 'make one beside the gateway (sluice token create) and put it there')
  if (parseJoinToken(token.text) === undefined) return failed(`${token.file} holds no join token`, 'it must hold the one line that sluice token create prints, sluice1.…, and nothing else')
  return ok('a join token is there; whether it is valid, only the gateway knows, when it is used')
}

export interface ForwardFacts {
  /** `address:port` */
  readonly address: string
  readonly host: string
  readonly addAddress: boolean
  /** One of the node's devices has it, or it stands for all. */
  readonly isOnNode: boolean
  /** This process may add addresses. */
  readonly canAdd: boolean
  /** Why it can't be bound: an error's code. */
  readonly bindFault: string | undefined
  /** A running agent has it. */
  readonly isAgents: boolean
}

export function forwardVerdict({ address, host, addAddress, isOnNode, canAdd, bindFault, isAgents }: ForwardFacts): Verdict {
  if (isAgents) return ok(`${address}: the agent that runs here listens on it`)
  if (!isOnNode) {
    if (!addAddress) return failed(`${address}: no device of this node has the address`, `set addAddress: true, or add it yourself: ip address add ${host}/${host.includes(':') ? 128 : 32} dev lo`)
    return canAdd ? ok(`${address}: the agent adds the address`) : failed(`${address}: the agent is to add the address, and may not`, 'give it CAP_NET_ADMIN (AmbientCapabilities= in systemd), or add the address yourself; or run this as the agent’s user, if it has it')
  }
  switch (bindFault) {
    case undefined: return ok(`${address} can be listened on`)
    case 'EADDRINUSE': return failed(`${address} is in use by another program`, 'see which (ss -ltnp), and end it or move it; with admin.address set, an agent that runs here is told apart')
    case 'EACCES': return failed(`${address}: this user may not listen on ports below 1024`, 'give it CAP_NET_BIND_SERVICE, or run this as the agent’s user')
    default: return failed(`${address} can’t be bound: ${bindFault}`, 'look at the node’s addresses (ip address)')
  }
}
