/** A bench of what the engine does wants the engine's environment, which must be there before the process begins. */
import { spawnSync } from 'node:child_process';
import { ENGINE_ENVIRONMENT } from '../worker/engine/environment.ts';

/** Where it is not there, runs the same command with it and ends as that does. */
export function rerunAsEngine(): void {
  if (Object.keys(ENGINE_ENVIRONMENT).every((name) => process.env[name] !== undefined)) return;
  const again = spawnSync(process.execPath, process.argv.slice(1), {
    env: { ...process.env, ...ENGINE_ENVIRONMENT },
    stdio: 'inherit',
  });
  process.exit(again.status ?? 1);
}
