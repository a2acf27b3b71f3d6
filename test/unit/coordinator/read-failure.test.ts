/** What workers say about failed tasks, whatever its size and shape. */
import { describe, expect, it } from 'vitest';
import { readFailure } from '../../../coordinator/api/read-failure.ts';
import type { PassSpec } from '../../../coordinator/core/task.ts';

const SPEC = { kind: 'pass', layer: 2, microbatches: [[4, 6]] } as unknown as PassSpec;
const read = (over: object, spec: PassSpec | null = SPEC) =>
  readFailure({ code: 'EngineFailed', message: 'm', retryable: true, detailsJson: '', ...over }, spec);

describe('a failure that a worker tells', () => {
  it('passes as it is where it is of ordinary size', () => {
    expect(read({ message: 'x'.repeat(16 * 1024), detailsJson: '{"a":1}' })).toEqual({
      code: 'EngineFailed',
      message: 'x'.repeat(16 * 1024),
      retryable: true,
      details: { a: 1 },
    });
  });

  it.each(['x', 'ä', '😀', '\ud800'])('of two million %j keeps its beginning and its end', (letter) => {
    const { message } = read({ message: `begin${letter.repeat(2_000_000)}end` });
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(16 * 1024);
    expect(message).toMatch(/^begin.* bytes and more left out.*end$/);
    expect(message.isWellFormed()).toBe(true);
  });

  it('with details that are too large, or no object, loses them and nothing else', () => {
    const large = JSON.stringify({ a: 'y'.repeat(6 * 1024) });
    expect(read({ detailsJson: large }).details).toEqual({ detailsLeftOutBytes: large.length });
    expect(read({ detailsJson: '[1' }).details).toEqual({ unreadableDetails: '[1' });
  });
});

describe('inputs that a worker misses', () => {
  it('are its own, or none', () => {
    const missing = (boundary: number, microbatch: number, spec: PassSpec | null = SPEC) =>
      read({ code: 'InputsMissing', detailsJson: JSON.stringify({ boundary, microbatch, x: 1 }) }, spec).details;
    expect(missing(2, 5)).toEqual({ boundary: 2, microbatch: 5, x: 1 });
    for (const [boundary, microbatch] of [
      [1, 5],
      [2, 6],
      [2, -5.5],
      [2, 4.5],
      [1e308, 1e308],
    ] as const) {
      expect(missing(boundary, microbatch)).toEqual({ x: 1 });
    }
    expect(missing(2, 5, null)).toEqual({ x: 1 });
  });
});
