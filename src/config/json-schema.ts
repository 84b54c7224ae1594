// The JSON Schema of the configuration, for editors: `npm run schema` writes config/sluice.schema.json.

import { z } from 'zod'
import { configSchema } from './schema.ts'

/** As text, the way it is committed. */
export function jsonSchemaText(): string {
  return `${JSON.stringify(z.toJSONSchema(configSchema, { io: 'input' }), undefined, 2)}\n`
}

if (import.meta.main) process.stdout.write(jsonSchemaText())
