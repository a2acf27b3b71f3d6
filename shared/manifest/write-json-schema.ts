/** Writes docs/manifest.schema.json, which editors check manifests with: `npm run build:schema`. */

import { writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { manifestSchema } from './schema.ts';

export const JSON_SCHEMA_FILE = new URL('../../docs/manifest.schema.json', import.meta.url);

/** The JSON Schema (2020-12) of a manifest as a user writes it: fields with a default are optional. */
export function manifestJsonSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(manifestSchema, { io: 'input' }), null, 2)}\n`;
}

if (import.meta.main) await writeFile(JSON_SCHEMA_FILE, manifestJsonSchema());
