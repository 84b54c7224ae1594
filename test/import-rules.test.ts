// What may import what, with a reason for each ban. A design that needs another edge changes this table, and says why.

import { join } from 'node:path/posix'
import { test } from 'tap'
import { withSources, type Import, type Name, type SourceProgram } from './support/source-program.ts'

interface Room {
  /** The other rooms that it may import from: all of them, or their types, which are gone when the program runs. */
  readonly imports: Readonly<Record<string, 'all' | 'types'>>
  /** Why nothing else. */
  readonly because: string
}

const contractsOnly = { core: 'all', config: 'types' } as const

const rooms: Readonly<Record<string, Room>> = {
  system: { imports: {}, because: 'what several rooms ask of the operating system in the same way; it knows nothing of what they do with it' },
  core: { imports: {}, because: 'core decides and does no I/O: every driver, test and tool runs the same decisions' },
  config: { imports: { core: 'all' }, because: 'the configuration is data: what it configures must not be needed to read it' },
  relay: { imports: contractsOnly, because: 'a driver moves bytes; who watches it is told through core/relay-observer.ts' },
  health: { imports: contractsOnly, because: 'checks are made for whoever asks; which connections they cost whom is the gateway\'s' },
  tunnel: { imports: { ...contractsOnly, system: 'all' }, because: 'a session carries streams; what relays, stores and finds is handed to it' },
  state: { imports: contractsOnly, because: 'a store keeps what it is given; it must not know who asks' },
  discovery: { imports: contractsOnly, because: 'a source tells what there is; what is done with it is the gateway\'s' },
  observe: { imports: { ...contractsOnly, system: 'all' }, because: 'observing must not be able to change what it observes' },
  gateway: {
    imports: { core: 'all', config: 'all', relay: 'all', health: 'all', tunnel: 'all', state: 'all', discovery: 'all', observe: 'all' },
    because: 'the gateway wires its parts; commands start it, not the other way round',
  },
  cli: {
    imports: { core: 'all', config: 'all', relay: 'all', tunnel: 'all', state: 'all', discovery: 'all', observe: 'all', gateway: 'all' },
    because: 'the composition root is imported by nobody but main',
  },
  main: { imports: { cli: 'all' }, because: 'main turns arguments into a command and nothing else' },
}

/** The one folder that may import a package. */
const packageOwners: Readonly<Record<string, string>> = {
  'pino': 'observe', 'prom-client': 'observe', 'yaml': 'config', 'js-yaml': 'config', 'zod': 'config', 'ws': 'tunnel', 'koffi': 'relay/linux',
  '@grpc/grpc-js': 'state/etcd', '@grpc/proto-loader': 'state/etcd',
}

/** What the platform lends to core: pure functions of bytes and text. */
const pureGlobals: ReadonlySet<string> = new Set(['TextDecoder', 'TextEncoder', 'atob', 'btoa', 'decode', 'encode'])

/** What the language itself has that makes a decision depend on when and where it is made. */
const impureOfLanguage: ReadonlySet<string> = new Set(['Date', 'random', 'Intl', 'localeCompare', 'WeakRef', 'FinalizationRegistry'])

function roomOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace(/\.ts$/, '')
}

function importFault({ file, specifier, typesOnly }: Import): string | undefined {
  const importer = roomOf(file)
  const room = rooms[importer]
  if (room === undefined) return `${file}: the room ${importer} is not in the table`
  const fault = (what: string, because: string): string => `${file} imports ${specifier ?? 'what is only known at run time'}: ${what}: ${because}`
  if (specifier === undefined) return fault('an import names its module', 'these rules could not hold')
  if (specifier.startsWith('.')) {
    const imported = roomOf(join(file, '..', specifier))
    const allowed = imported === importer ? 'all' : room.imports[imported]
    if (allowed === 'all' || (allowed === 'types' && typesOnly)) return undefined
    return fault(`${importer} may not import ${allowed === 'types' ? 'more than types of ' : ''}${imported}`, room.because)
  }
  if (specifier.startsWith('node:')) return importer === 'core' ? fault('core may not import a node: module', room.because) : undefined
  const owner = packageOwners[specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')]
  if (owner === undefined) return fault('the package has no owner in the table', 'one room knows a package\'s ways, the others its results')
  return file.startsWith(`${owner}/`) ? undefined : fault(`the package belongs to ${owner}`, 'one room knows its ways, the others its results')
}

function nameFault({ file, text, declaredIn }: Name): string | undefined {
  const fault = `${file} uses ${text}: core asks neither the clock nor chance nor the system: these are passed in`
  if (text === 'globalThis') return fault
  if (declaredIn.length === 0 || declaredIn.some((path) => path.includes('/src/core/'))) return undefined
  // The language's own declarations are lib.es5.d.ts, lib.es2015.core.d.ts and so on; the platform's are elsewhere.
  const ofLanguage = declaredIn.some((path) => /\/lib\.es[^/]*\.d\.ts$/.test(path))
  return (ofLanguage ? impureOfLanguage.has(text) : !pureGlobals.has(text)) ? fault : undefined
}

void test('every import is an allowed edge', async (t) => {
  const imports = withSources((program) => program.files.flatMap((file) => program.importsOf(file)))
  t.ok(imports.length > 100, 'imports were found')
  for (const each of imports) {
    const fault = importFault(each)
    if (fault !== undefined) t.fail(fault)
  }
})

void test('core asks neither the clock nor chance nor the system', async (t) => {
  const names = withSources((program) => program.namesIn(program.files.filter((file) => roomOf(file) === 'core')))
  t.ok(names.some(({ text, declaredIn }) => text === 'Map' && declaredIn.length > 0), 'names were resolved')
  for (const each of names) {
    const fault = nameFault(each)
    if (fault !== undefined) t.fail(fault)
  }
})

const forbiddenImports: readonly (readonly [file: string, text: string, fault: RegExp])[] = [
  ['core/a.ts', 'import { connect } from \'node:net\'', /^core\/a\.ts imports node:net: core may not import a node: module: core decides/],
  ['core/b.ts', 'import type { Socket } from \'node:net\'', /core may not import a node: module/],
  ['core/c.ts', 'import \'../config/config.ts\'', /core may not import config/],
  ['core/d.ts', 'export * from \'../config/config.ts\'', /core may not import config/],
  ['core/e.ts', 'export type { Config } from \'../config/config.ts\'', /core may not import config/],
  ['core/f.ts', 'export const f = () => import(\'../config/config.ts\')', /core may not import config/],
  ['core/g.ts', 'export type G = import(\'../config/config.ts\').Config', /core may not import config/],
  ['core/h.ts', 'const a = 1; /* on one line */ import { b } from "../config/config.ts"; export { a, b }', /core may not import config/],
  ['core/i.ts', 'import {\n  a, // import c from \'./c.ts\'\n  type B,\n} from \'pino\'\nexport { a, type B }', /belongs to observe/],
  ['relay/j.ts', 'import { loadConfig } from \'../config/load.ts\'', /relay may not import more than types of config: a driver/],
  ['relay/k.ts', 'import { type Config } from \'../config/config.ts\'', /more than types/],
  ['relay/node/l.ts', 'import { log } from \'../../observe/log.ts\'', /relay may not import observe/],
  ['observe/m.ts', 'import { gateway } from \'../gateway/gateway.ts\'', /observe may not import gateway/],
  ['gateway/n.ts', 'import pino from \'pino\'', /belongs to observe/],
  ['gateway/o.ts', 'import leftPad from \'left-pad\'', /no owner/],
  ['gateway/p.ts', 'import { q } from \'@scope/package/q\'', /no owner/],
  ['gateway/r.ts', 'export const r = (name: string) => import(`./${name}.ts`)', /only known at run time/],
  ['relay/node/s.ts', 'import koffi from \'koffi\'', /belongs to relay\/linux/],
  ['main.ts', 'import { gateway } from \'./gateway/gateway.ts\'', /main may not import gateway/],
  ['elsewhere/u.ts', 'import \'./v.ts\'', /elsewhere is not in the table/],
]

const allowedImports: Readonly<Record<string, string>> = {
  'core/a.ts': 'import { b } from \'./net/b.ts\'; import type { C } from \'../core/c.ts\'; export const text = "import \'node:fs\'"; export { b, type C }',
  'core/net/b.ts': '// import \'node:fs\'\n/* import \'node:fs\' */\nexport const b = /import \'node:fs\'/',
  'relay/d.ts': 'import type { Config } from \'../config/config.ts\'; export type { Config }',
  'relay/linux/e.ts': 'import koffi from \'koffi\'; export { koffi }',
  'config/f.ts': 'import { parse } from \'yaml\'; import { z } from \'zod/v4\'; import { b } from \'../core/net/b.ts\'; export { parse, z, b }',
}

void test('the rules see every way of importing, and nothing else', async (t) => {
  const forbidden = Object.fromEntries(forbiddenImports.map(([file, text]) => [file, text]))
  withSources((program) => {
    for (const [file, text, fault] of forbiddenImports) {
      const faults = program.importsOf(file).map(importFault).filter((each) => each !== undefined)
      t.equal(faults.length, 1, text)
      t.match(faults[0], fault)
    }
  }, forbidden)
  withSources((program) => {
    for (const file of program.files) t.same(program.importsOf(file).map(importFault).filter((each) => each !== undefined), [], file)
  }, allowedImports)
})

const impure: Readonly<Record<string, string>> = {
  'core/date.ts': 'export const now = Date.now()',
  'core/new-date.ts': 'export const now = new Date()',
  'core/random.ts': 'export const chance = Math.random()',
  'core/performance.ts': 'export const now = performance.now()',
  'core/process.ts': 'export const port = process.env["PORT"]',
  'core/timer.ts': 'setTimeout(() => {}, 1)',
  'core/console.ts': 'console.log(1)',
  'core/buffer.ts': 'export const bytes = Buffer.alloc(1)',
  'core/crypto.ts': 'export const id = crypto.randomUUID()',
  'core/global-this.ts': 'export const all = globalThis',
  'core/node-type.ts': 'export type Timer = NodeJS.Timeout',
  'core/locale.ts': 'export const order = "a".localeCompare("b")',
}

const pure: Readonly<Record<string, string>> = {
  'core/language.ts': 'export const sorted = new Map([[Math.max(1, 2), "Date.now()"]]); // Math.random()\nexport const none = undefined',
  'core/bytes.ts': 'export const text = new TextDecoder().decode(new TextEncoder().encode("process.exit"))',
  'core/own.ts': 'interface Random { random(): number }\nexport const pick = (of: Random): number => of.random()',
}

function firstNameFault(program: SourceProgram, file: string): string | undefined {
  return program.namesIn([file]).map(nameFault).find((each) => each !== undefined)
}

void test('the rules see every way to the clock, chance and the system, and nothing else', async (t) => {
  withSources((program) => {
    for (const file of program.files) t.match(firstNameFault(program, file), new RegExp(`^${file} uses `), impure[file] ?? '')
  }, impure)
  withSources((program) => {
    for (const file of program.files) t.equal(firstNameFault(program, file), undefined, pure[file] ?? '')
  }, pure)
})
