/** Where jobs stand in a state folder. What is in a job's own folder: effects/job-paths.ts. */
import { join } from 'node:path';

export function jobsFolder(stateDirectory: string): string {
  return join(stateDirectory, 'jobs');
}

export function jobFolder(stateDirectory: string, job: string): string {
  return join(jobsFolder(stateDirectory), job);
}

export function logsFolder(stateDirectory: string, job: string): string {
  return join(jobFolder(stateDirectory, job), 'logs');
}
