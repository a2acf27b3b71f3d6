import { describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { createLayerSession, createSession, probeProvider } from '../../../worker/engine/session.ts';

const CPU = { provider: 'cpu', deviceId: 0, threads: 1 } as const;

async function failure(promise: Promise<unknown>): Promise<SecateurError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof SecateurError) return thrown;
  throw new Error(`expected a SecateurError, found ${thrown}`);
}

describe('the provider is found by computing on it', () => {
  it('the CPU is always there', async () => {
    expect(await probeProvider('cpu')).toBe('cpu');
  });

  it('auto takes one that works', async () => {
    expect(['cpu', 'cuda']).toContain(await probeProvider('auto'));
  });

  // Device 99 is nowhere: neither without CUDA nor with it.
  it('a device that is missing is an error where it was asked for by name, with the words of the runtime', async () => {
    const error = await failure(probeProvider('cuda', 99));
    expect(error.code).toBe('ProviderUnavailable');
    expect(error.message).toContain((error.cause as Error).message.trim().replace(/\.$/, ''));
    expect(error.message).toContain('ask for provider cpu');
    expect(error.details).toEqual({ provider: 'cuda', deviceId: 99 });
  });

  it('auto falls back to the CPU where the device is missing, and tells why', async () => {
    const reasons: SecateurError[] = [];
    expect(await probeProvider('auto', 99, (why) => reasons.push(why))).toBe('cpu');
    expect(reasons.map((why) => why.code)).toEqual(['ProviderUnavailable']);
  });
});

describe('what ONNX Runtime refuses is an error with its own words', () => {
  it('bytes that are no model', async () => {
    const error = await failure(createSession(Uint8Array.of(1, 2, 3), { ...CPU, foldCasts: true }));
    expect(error.code).toBe('EngineFailed');
    expect(error.message).toContain('could not load the model');
    expect(error.cause).toBeInstanceOf(Error);
  });

  it('a layer session likewise', async () => {
    expect((await failure(createLayerSession(new Uint8Array(0), { ...CPU, foldCasts: true }))).code).toBe(
      'EngineFailed',
    );
  });
});
