// What to do about a gateway that refuses an agent, by the reason that it gave.

import type { SessionRefusal } from './tunnel-observer.ts'

const advice: Readonly<Record<SessionRefusal, string>> = {
  'malformed': 'token.file must hold one token and nothing else',
  'proof-wrong': 'something between agent and gateway ends TLS: it must pass through (no inspection of the tunnel’s name)',
  'certificate-missing': 'the gateway got no certificate and no key: a certificate needs tunnel.clientCaFile in the gateway’s configuration',
  'certificate-wrong': 'the certificate must be in date, of an authority in the gateway’s tunnel.clientCaFile, for clientAuth, with O = tenant and CN = node.name; the gateway’s log says what is wrong',
  'node-unknown': 'the node is not enrolled: put a join token into token.file (sluice token create)',
  'node-revoked': 'the node was revoked: if it should be let in again, remove the agent’s state and enrol it with a new token, or give it a certificate with a new key',
  'name-mismatch': 'the key was enrolled under another node.name, or the certificate is another’s',
  'token-unknown': 'the token is not this gateway’s, or was copied wrongly',
  'token-expired': 'make a new token (sluice token create)',
  'token-used-up': 'make a new token, with --uses for as many nodes as there are',
  'token-revoked': 'make a new token (sluice token create)',
  'too-many-nodes': 'the installation has all the nodes that it can have: revoke those that are gone (sluice node revoke), which make room 30 days later',
  'paced': 'many agents come at once: this one is let in when its turn comes',
  'draining': 'the gateway goes: give the agent more than one, or wait for the next',
  'too-many-sessions': 'the gateway has all the sessions that it can have: add gateways',
  'not-a-peer': 'that is said to gateways, not to agents: another gateway is not known by the store, or not yet',
  'not-a-tunnel': 'agent and gateway are of versions that don’t know each other',
}

/** @returns undefined for a reason that we don't know */
export function refusalAdvice(reason: string): string | undefined {
  return Object.hasOwn(advice, reason) ? advice[reason as SessionRefusal] : undefined
}
