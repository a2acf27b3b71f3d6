/** Arguments, messages and exit codes, as a user meets them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { throwUnlessSucceeded } from '../../../cli/follow-job.ts';
import { createProgram, runCommandLine } from '../../../cli/program.ts';
import { errorLine, exitCodeOf, knownCode } from '../../../cli/report-error.ts';
import { ERROR_TABLE, type ErrorCode, EXIT, SecateurError } from '../../../shared/errors/secateur-error.ts';
import type { Job__Output } from '../../../shared/rpc/generated/secateur/v1/Job.ts';
import { VERSION } from '../../../shared/version.ts';
import { microManifest } from '../../support/secateur-process.ts';

/** Nobody listens there: port 1 is reserved. */
const NOBODY = '127.0.0.1:1';

let stdout: string;
let stderr: string;

beforeEach(() => {
  stdout = '';
  stderr = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text;
    return true;
  });
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe('wrong arguments end with exit code 2 and say what was meant', () => {
  it.each([
    [['rnu'], "unknown command 'rnu' [ArgumentInvalid]", 'run'],
    [['get', '--coordinatr', NOBODY], "unknown option '--coordinatr'", '--coordinator'],
    [['run'], "missing required argument 'manifest'", ''],
    [['run', 'm.yaml', '--workers', '0'], 'Expected a whole number, 1 or more', ''],
    [['run', 'm.yaml', '--workers', '1.5'], 'Expected a whole number, 1 or more', ''],
    [['run', 'm.yaml', '--provider', 'tpu'], 'Allowed choices are auto, cpu, cuda', ''],
    [['get', '--coordinator', 'nowhere'], 'Expected host:port', ''],
    [['get', '--coordinator', 'host:70000'], 'Expected host:port', ''],
    [['get', '-o', 'xml'], 'Allowed choices are table, json, yaml', ''],
    [['coordinator'], "required option '--state <dir>' not specified", ''],
    [['verify', 'a', 'b'], 'too many arguments', ''],
  ])('%j', async (args, message, suggestion) => {
    expect(await runCommandLine(args)).toBe(2);
    expect(stderr).toContain(message);
    if (suggestion !== '') expect(stderr).toContain(`(Did you mean ${suggestion}?)`);
    expect(stdout).toBe('');
  });

  it('no verb at all prints the help and is wrong too', async () => {
    expect(await runCommandLine([])).toBe(2);
    expect(stderr).toContain('Usage: secateur');
  });
});

describe('help and version are data', () => {
  it('--version prints the version alone', async () => {
    expect(await runCommandLine(['--version'])).toBe(0);
    expect(stdout).toBe(`${VERSION}\n`);
  });

  it('--help lists the exit codes, and hides what only secateur itself uses', async () => {
    expect(await runCommandLine(['worker', '--help'])).toBe(0);
    expect(stdout).toContain('--coordinator');
    expect(stdout).not.toContain('orphaned');
    expect(await runCommandLine(['--help'])).toBe(0);
    expect(stdout).toContain('130 interrupted');
  });
});

describe('errors', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-cli-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('a manifest that is not there ends with 3, and no stack', async () => {
    expect(await runCommandLine(['plan', join(folder, 'none.yaml')])).toBe(3);
    expect(stderr).toMatch(/^error: manifest .*none\.yaml: expected a YAML file; ENOENT.*\[SourceMissing\]\n$/);
  });

  it('a verb that is not known ends with 2 and is named, by help as well', async () => {
    for (const args of [['wokers'], ['help', 'wokers']]) {
      stderr = '';
      expect(await runCommandLine(args)).toBe(2);
      expect(stderr).toBe("error: unknown command 'wokers' [ArgumentInvalid]\n(Did you mean workers?)\n");
    }
  });

  it('help of a verb ends with 0, and shows no default in the words of the program', async () => {
    for (const verb of createProgram(() => undefined).commands) {
      stdout = '';
      expect(await runCommandLine(['help', verb.name()])).toBe(0);
      expect(stdout).toContain(`Usage: secateur ${verb.name()}`);
      expect(stdout).not.toMatch(/default: (""|\[\])/);
    }
  });

  it('a manifest of which no run has kept anything is told by its destination; --set finds another', async () => {
    vi.stubEnv('XDG_STATE_HOME', join(folder, 'state-home'));
    try {
      const manifest = join(folder, 'm.yaml');
      writeFileSync(manifest, microManifest({ output: '/nowhere/first', name: 'job' }));
      expect(await runCommandLine(['logs', '--manifest', manifest])).toBe(3);
      expect(stderr).toContain('no "secateur run" of it to /nowhere/first has kept anything');
      expect(
        await runCommandLine(['logs', '--manifest', manifest, '--set', 'spec.output.destination=/nowhere/other']),
      ).toBe(3);
      expect(stderr).toContain('no "secateur run" of it to /nowhere/other has kept anything');
      expect(await runCommandLine(['logs', '--set', 'spec.output.destination=/nowhere/other'])).toBe(2);
      expect(stderr).toContain('--set belongs to --manifest');
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('a wrong manifest ends with 2 and names file, line and column', async () => {
    writeFileSync(join(folder, 'm.yaml'), 'apiVersion: secateur/v1\nkind: PrunJob\n');
    expect(await runCommandLine(['submit', join(folder, 'm.yaml'), '--coordinator', NOBODY])).toBe(2);
    expect(stderr).toContain('m.yaml:2:7');
    expect(stderr).toContain('[ManifestInvalid]');
  });

  it('a coordinator that nobody runs ends with 5 and names its address', async () => {
    expect(await runCommandLine(['get', '--coordinator', NOBODY])).toBe(5);
    expect(stderr).toContain(`cannot reach ${NOBODY}: nothing listens there (ECONNREFUSED).`);
    expect(stderr).toContain('[Unavailable]');
    expect(stdout).toBe('');
  });

  it('a folder that cannot be had ends with 1, and names the option, the path and what to do', async () => {
    for (const [args, what] of [
      [['coordinator', '--state', '/dev/null'], 'the state folder (--state)'],
      [['worker', '--coordinator', NOBODY, '--cache', '/dev/null'], 'the cache folder (--cache)'],
    ] as const) {
      stderr = '';
      expect(await runCommandLine(args)).toBe(1);
      expect(stderr).toBe(
        `error: ${what}: the directory /dev/null cannot be made: it is no directory. Choose another directory. [StorageFailed]\n`,
      );
    }
  });

  it('verify of nothing ends with 3, of a directory without a record with 6', async () => {
    expect(await runCommandLine(['verify', join(folder, 'none')])).toBe(3);
    expect(await runCommandLine(['verify', folder])).toBe(6);
  });

  it('every code has the exit code of the table, and an unknown one is a failed job', () => {
    for (const code of Object.keys(ERROR_TABLE) as ErrorCode[]) {
      expect(exitCodeOf(code)).toBe(ERROR_TABLE[code].exitCode);
      expect(knownCode(code)).toBe(code);
    }
    expect(knownCode('FromTheFuture')).toBe('JobFailed');
    expect(knownCode('toString')).toBe('JobFailed');
    expect(errorLine(new SecateurError('Internal', 'x'))).toContain('SECATEUR_DEBUG=1');
  });
});

describe('a command that waits for a job ends as the job does', () => {
  const job = (phase: string, failure: Job__Output['failure'] = null): Job__Output =>
    ({ id: 'job-1', phase, message: 'why', failure }) as Job__Output;

  function codeOf(ended: Job__Output): ErrorCode | null {
    try {
      throwUnlessSucceeded(ended);
      return null;
    } catch (thrown) {
      return (thrown as SecateurError).code;
    }
  }

  it('succeeded: nothing; failed: by its code; cancelled: as a failed job', () => {
    expect(codeOf(job('Succeeded'))).toBe(null);
    const failure = { code: 'NonFiniteValue', message: 'a NaN', detailsJson: '{}' };
    expect(codeOf(job('Failed', failure))).toBe('NonFiniteValue');
    expect(codeOf(job('Failed', { ...failure, code: 'FromTheFuture' }))).toBe('JobFailed');
    expect(codeOf(job('Cancelled'))).toBe('JobFailed');
  });
});

describe('docs/cli.md', () => {
  const page = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8');

  it.each(createProgram(() => undefined).commands.map((command) => [command.name(), command] as const))(
    'has %s and each of its options',
    (name, command) => {
      expect(page).toMatch(new RegExp(`secateur ${name}\\b`));
      const visible = command.options.filter((option) => !option.hidden);
      for (const { flags } of visible) expect(page, `${name} ${flags}`).toContain(flags);
    },
  );

  it('has every exit code', () => {
    for (const code of Object.values(EXIT)) expect(page).toContain(`| ${code} |`);
  });
});
