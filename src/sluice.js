#!/usr/bin/env node
// The program: main.ts, with what Node has stripped and compiled of it kept for the next start. That takes two thirds of a start's
// time and 25 MiB of its memory, the stripper's own among them; so this file, which comes before the cache, has no types.
//
// It is kept beside the program, where only those who may change the program can write, and not in the temporary directory, where
// everybody can. Where nobody can write, nothing is kept, unless NODE_COMPILE_CACHE names a directory.

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

enableCompileCache(fileURLToPath(new URL('../.cache/compile', import.meta.url)))
await import('./main.ts')
