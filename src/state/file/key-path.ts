// Keys as paths: a segment is a folder, the last one a name with a mark, so that a key and a folder of keys can't be confused.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { orMissing } from './version-folder.ts'

export const keyMark = '@'

/** @param prefix what the folder stands for; empty: all keys */
export async function keysBelow(folder: string, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for (const name of await orMissing(readdir(folder)) ?? []) {
    const key = prefix === '' ? name : `${prefix}/${name}`
    if (name.endsWith(keyMark)) keys.push(key.slice(0, -keyMark.length))
    else keys.push(...await keysBelow(join(folder, name), key))
  }
  return keys
}
