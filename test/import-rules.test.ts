// What may import what, with a reason for each ban. A design that needs another edge changes this table, and says why.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

const sourceRoot = fileURLToPath(new URL('../src/', import.meta.url))

/** Rooms that each room may import from, itself not counted. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  config: ['core'],
  relay: ['core', 'config'],
  observe: ['core', 'config'],
  gateway: ['core', 'config', 'relay', 'observe'],
  cli: ['core', 'config', 'relay', 'observe', 'gateway'],
  main: ['cli'],
}

const reasons: Readonly<Record<string, string>> = {
  core: 'core decides and does no I/O: every driver, test and tool runs the same decisions',
  config: 'the configuration is data: what it configures must not be needed to read it',
  relay: 'a driver moves bytes; who watches it is told through core/relay-observer.ts',
  observe: 'observing must not be able to change what it observes',
  gateway: 'the gateway wires its parts; commands start it, not the other way round',
  cli: 'the composition root is imported by nobody but main',
  main: 'main turns arguments into a command and nothing else',
}

/** The one room that may import a package. */
const packageOwners: Readonly<Record<string, string>> = {
  'pino': 'observe', 'prom-client': 'observe', 'yaml': 'config', 'js-yaml': 'config', 'zod': 'config', 'ws': 'tunnel', 'koffi': 'relay',
}

/** Globals that make a decision depend on when and where it is made. */
const impureGlobals = /\b(?:Date\.now|new Date|Math\.random|performance\.|process\.|setTimeout|setInterval|setImmediate|queueMicrotask|fetch\(|globalThis)/

interface Import {
  readonly file: string
  readonly specifier: string
}

function sourceFiles(): string[] {
  return readdirSync(sourceRoot, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[^]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
}

function importsOf(file: string): Import[] {
  const text = withoutComments(readFileSync(join(sourceRoot, file), 'utf8'))
  const pattern = /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g
  return [...text.matchAll(pattern)].map(([, from, bare, dynamic]) => ({ file, specifier: from ?? bare ?? dynamic ?? '' }))
}

function roomOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace(/\.ts$/, '')
}

function faultOf({ file, specifier }: Import): string | undefined {
  const room = roomOf(file)
  if (specifier.startsWith('.')) {
    const target = roomOf(relative(sourceRoot, normalize(join(sourceRoot, dirname(file), specifier))))
    if (target === room || allowed[room]?.includes(target) === true) return undefined
    return `${room} may not import ${target}: ${reasons[room] ?? 'the room is not in the table'}`
  }
  if (specifier.startsWith('node:')) return room === 'core' ? `core imports no node: module: ${reasons['core']}` : undefined
  const owner = packageOwners[specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')]
  if (owner === undefined) return 'the package has no owner in the table'
  return owner === room ? undefined : `the package belongs to ${owner}: one room knows its ways, the others its results`
}

void test('every import is an allowed edge', async (t) => {
  const imports = sourceFiles().flatMap(importsOf)
  t.ok(imports.length > 100, 'imports were found')
  for (const each of imports) {
    const fault = faultOf(each)
    if (fault !== undefined) t.fail(`${each.file} imports ${each.specifier}: ${fault}`)
  }
})

void test('core asks neither the clock nor chance nor the system', async (t) => {
  for (const file of sourceFiles().filter((each) => roomOf(each) === 'core')) {
    const match = impureGlobals.exec(withoutComments(readFileSync(join(sourceRoot, file), 'utf8')))
    t.equal(match, null, `${file} uses ${match?.[0] ?? 'no impure global'}`)
  }
})

void test('the rules see what they forbid', async (t) => {
  t.match(faultOf({ file: 'core/x.ts', specifier: 'node:net' }), /core imports no node/)
  t.match(faultOf({ file: 'core/x.ts', specifier: '../config/config.ts' }), /core may not import config/)
  t.match(faultOf({ file: 'relay/node/x.ts', specifier: '../../observe/log.ts' }), /relay may not import observe/)
  t.match(faultOf({ file: 'gateway/x.ts', specifier: 'pino' }), /belongs to observe/)
  t.match(faultOf({ file: 'gateway/x.ts', specifier: 'left-pad' }), /no owner/)
  t.equal(faultOf({ file: 'gateway/x.ts', specifier: '../core/x.ts' }), undefined)
})
