// Thin stand-in by the lead until the whole one lands: overwrite.
import type { JobContext__Output } from '../rpc/generated/secateur/v1/JobContext.ts';
import { DirectJobFiles } from './direct-job-files.ts';
import type { JobFiles } from './job-files.ts';
export async function chooseJobFiles(options: { context: JobContext__Output; coordinator: string; storage: 'auto' | 'direct' | 'coordinator'; cacheDirectory: string }): Promise<JobFiles> { return new DirectJobFiles(options.context); }
