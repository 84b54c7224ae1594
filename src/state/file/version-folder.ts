// The versions of one value: a folder of files that are numbered upwards. The highest counts.
//
//   00000003   empty: it was followed by another, and keeps its number from being given again
//   00000004   `=VALUE`, or `-` where the value was removed
//
// link(2) gives a whole, synced file its number, or fails where another writer has it. Numbers are never given twice while a
// writer could still ask for one: empty files keep the last `numbersKept`.

import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf } from '../../core/error-code.ts'

const versionDigits = 8
/** A writer would have to sleep through so many changes of one key between two calls to be given a number twice. */
const numbersKept = 256
/** A reader that writers overtake again and again; more is a bug. */
const readAttemptsMax = 1_000

export interface Version {
  /** 0: there never was one. */
  readonly number: number
  /** Undefined where there is none, or it was removed. */
  readonly value: string | undefined
}

export async function readVersion(folder: string): Promise<Version> {
  for (let attempt = 0; attempt < readAttemptsMax; attempt++) {
    const number = await highestNumber(folder)
    if (number === 0) return { number, value: undefined }
    const content = await orMissing(readFile(join(folder, nameOf(number)), 'utf8'))
    // Gone or empty: another has followed it since.
    if (content?.[0] === '=') return { number, value: content.slice(1) }
    if (content?.[0] === '-') return { number, value: undefined }
  }
  throw new Error(`${folder}: no version stays long enough to be read`)
}

/**
 * Resolves once the version would survive a crash of the machine.
 * @param root folders are made and synced below it
 * @param drafts a folder of the same file system, for files that are not whole yet
 * @returns false where another writer has the number
 */
export async function writeVersion({ root, drafts, folder, number, value }: { readonly root: string; readonly drafts: string; readonly folder: string; readonly number: number; readonly value: string | undefined }): Promise<boolean> {
  await makeFolders(root, folder)
  const draft = join(drafts, randomBytes(12).toString('hex'))
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(value === undefined ? '-' : `=${value}`)
      await file.sync()
    } finally {
      await file.close()
    }
    try {
      await link(draft, join(folder, nameOf(number)))
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false
      throw error
    }
  } finally {
    await rm(draft, { force: true })
  }
  await syncFolder(folder)
  return true
}

/** Empties those before it. What a crash leaves undone is done after the next change. */
export async function retireOlder({ drafts, folder, number }: { readonly drafts: string; readonly folder: string; readonly number: number }): Promise<void> {
  for (const each of await numbersIn(folder)) {
    const path = join(folder, nameOf(each))
    if (each <= number - numbersKept) await orMissing(unlink(path))
    // Those before were emptied in their turn, but for what a crash has left.
    if (each >= number || each < number - 2) continue
    const draft = join(drafts, randomBytes(12).toString('hex'))
    await writeFile(draft, '', { mode: 0o600 })
    // Not truncated: whoever has it open reads it whole.
    await rename(draft, path)
  }
}

async function numbersIn(folder: string): Promise<number[]> {
  const names = await orMissing(readdir(folder)) ?? []
  return names.filter((name) => /^\d+$/.test(name)).map(Number)
}

/** Resolves with undefined where the path is not there. */
export async function orMissing<Value>(attempt: Promise<Value>): Promise<Value | undefined> {
  try {
    return await attempt
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** 0: there never was one. */
export async function highestNumber(folder: string): Promise<number> {
  return Math.max(0, ...await numbersIn(folder))
}

function nameOf(number: number): string {
  return String(number).padStart(versionDigits, '0')
}

async function makeFolders(root: string, folder: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true, mode: 0o700 })
  if (made === undefined) return
  for (let parent = dirname(folder); parent.length >= root.length; parent = dirname(parent)) await syncFolder(parent)
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
