// What a cluster's owner runs beside pods for the API server to ask, as a process of its own on a node: a validating webhook and
// an aggregated API.
//
//   GET  /healthz                            whose it is
//   POST /validate                           refuses a ConfigMap with the label forbidden=true
//   GET  /apis/lab.sluice.test/v1            what the aggregated API has
//   GET  /apis/lab.sluice.test/v1/greetings  a list of one: greets whom the API server says that it asks for
//
// node extension-server.ts NAME ADDRESS PORT CERTIFICATE KEY

import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { pathToFileURL } from 'node:url'

export const extensionGroup = 'lab.sluice.test'

const [file = '', name, address, port, certificate = '', key = ''] = process.argv.slice(1)

function greetings(user: string): unknown {
  const apiVersion = `${extensionGroup}/v1`
  return { kind: 'GreetingList', apiVersion, metadata: {}, items: [{ kind: 'Greeting', apiVersion, metadata: { name: 'hello' }, text: `hello ${user}` }] }
}

function verdict(text: string): unknown {
  const { request }: { readonly request: { readonly uid: string; readonly object?: { readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } } } } = JSON.parse(text)
  const isForbidden = request.object?.metadata?.labels?.['forbidden'] === 'true'
  return {
    apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview',
    response: { uid: request.uid, allowed: !isForbidden, ...(isForbidden ? { status: { message: 'the webhook on the node says no' } } : {}) },
  }
}

function answer({ url, headers }: IncomingMessage, body: string): unknown {
  switch (url?.split('?')[0]) {
    case '/healthz': return name
    case '/validate': return verdict(body)
    case `/apis/${extensionGroup}/v1`: return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: `${extensionGroup}/v1`, resources: [{ name: 'greetings', singularName: 'greeting', namespaced: false, kind: 'Greeting', verbs: ['list', 'get'] }] }
    case `/apis/${extensionGroup}/v1/greetings`: return greetings(String(headers['x-remote-user']))
    default: return undefined
  }
}

if (pathToFileURL(file).href === import.meta.url) {
  createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      const said = answer(request, body)
      response.writeHead(said === undefined ? 404 : 200, { 'Content-Type': 'application/json' })
      response.end(said === undefined ? '{}' : JSON.stringify(said))
    })
  }).listen(Number(port), address)
}
