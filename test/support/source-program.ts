// The sources as the compiler sees them: who imports what, and what the names in a file stand for.
//
// TypeScript's own parser and checker, so that no way of writing an import or of reaching a global is overlooked.

import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isCallExpression, isExportDeclaration, isIdentifier, isImportDeclaration, isStringLiteral } from 'typescript/unstable/ast/is'
import { SyntaxKind, type Identifier, type Node, type SourceFile } from 'typescript/unstable/ast'
import { API, type Project } from 'typescript/unstable/sync'

const root = fileURLToPath(new URL('../../', import.meta.url))
const configName = `${root}tsconfig.sources.json`

export interface Import {
  /** Below src/, as `core/net/cidr.ts`. */
  readonly file: string
  /** As it is written; undefined for an `import()` of what is no literal. */
  readonly specifier: string | undefined
  /** `import type`, `export type … from`, `import('…')` in a type: nothing of it is left when the program runs. */
  readonly typesOnly: boolean
}

export interface Name {
  readonly file: string
  readonly text: string
  /** The files that declare it; none for `undefined`, `globalThis` and what nobody declares. */
  readonly declaredIn: readonly string[]
}

export interface SourceProgram {
  readonly files: readonly string[]
  importsOf(file: string): Import[]
  namesIn(files: readonly string[]): Name[]
}

/** Runs `read` with the files below src/, or with others that are said to be there. */
export function withSources<Result>(read: (program: SourceProgram) => Result, pretended?: Readonly<Record<string, string>>): Result {
  const files = pretended === undefined ? sourceFiles() : Object.keys(pretended)
  const config = JSON.stringify({ extends: './tsconfig.json', include: [], files: files.map((file) => `src/${file}`) })
  const contents = new Map([[configName, config], ...Object.entries(pretended ?? {}).map(([file, text]) => [pathOf(file), text] as const)])
  // What is not in memory is the disk's: undefined says so.
  const fs = { readFile: (path: string) => contents.get(path), fileExists: (path: string) => contents.has(path) ? true : undefined }
  const api = new API({ cwd: root, fs })
  try {
    const project = api.updateSnapshot({ openProject: configName }).getProject(configName)
    if (project === undefined) throw new Error('bug: the compiler has no such project')
    return read({
      files,
      importsOf: (file) => importsOf(project, file),
      namesIn: (files) => namesIn(project, files),
    })
  } finally {
    api.close()
  }
}

function sourceFiles(): string[] {
  return readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
}

function pathOf(file: string): string {
  return `${root}src/${file}`
}

function parsed({ program }: Project, file: string): SourceFile {
  const sourceFile = program.getSourceFile(pathOf(file))
  if (sourceFile === undefined) throw new Error(`bug: ${file} is no part of the program`)
  return sourceFile
}

function importsOf(project: Project, file: string): Import[] {
  const sourceFile = parsed(project, file)
  const literals = sourceFile.imports.filter(isStringLiteral).map((literal) => ({ file, specifier: literal.text, typesOnly: isTypesOnly(literal.parent) }))
  const dynamic: Import[] = []
  walk(sourceFile, (node) => {
    const [specifier] = isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword ? node.arguments : []
    if (specifier !== undefined && !isStringLiteral(specifier)) dynamic.push({ file, specifier: undefined, typesOnly: false })
  })
  return [...literals, ...dynamic]
}

function isTypesOnly(parent: Node): boolean {
  if (isImportDeclaration(parent)) return parent.importClause?.phaseModifier === SyntaxKind.TypeKeyword
  if (isExportDeclaration(parent)) return parent.isTypeOnly
  return !isCallExpression(parent)
}

function namesIn(project: Project, files: readonly string[]): Name[] {
  const identifiers: { readonly file: string; readonly identifier: Identifier }[] = []
  for (const file of files) {
    walk(parsed(project, file), (node) => {
      if (isIdentifier(node)) identifiers.push({ file, identifier: node })
    })
  }
  const symbols = project.checker.getSymbolAtLocation(identifiers.map(({ identifier }) => identifier))
  return identifiers.map(({ file, identifier }, index) => ({
    file,
    text: identifier.text,
    declaredIn: symbols[index]?.declarations.map(({ path }) => path) ?? [],
  }))
}

function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  node.forEachChild((child) => walk(child, visit))
}
