/** Where the wire contract is and how it is read; the loader and the type generator must agree on both. */
import { fileURLToPath } from 'node:url';

/** Folder that imports inside the .proto files are relative to. */
export const PROTO_DIRECTORY = fileURLToPath(new URL('../../protos', import.meta.url));

/** One file a service; they import what they share. */
export const PROTO_FILES = [
  'secateur/v1/jobs.proto',
  'secateur/v1/workers.proto',
  'secateur/v1/artifacts.proto',
] as const;

/**
 * How messages look in JavaScript: camelCase names, numbers for 64-bit integers (sizes, times and counters stay below
 * 2^53), names for enums, every field present, and which member of a oneof is set.
 */
export const LOADER_OPTIONS = { longs: Number, enums: String, defaults: true, arrays: true, oneofs: true } as const;
