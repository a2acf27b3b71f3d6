import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import {
  destinationPath,
  locationToPath,
  resolveLocations,
  sourcePath,
} from '../../../shared/manifest/resolve-locations.ts';
import { changed, VALID } from './manifest-text.ts';

const resolved = (text: string) => resolveLocations(parseManifest(text, 'job.yaml'), '/jobs/my job');
const sourceOf = (source: string) => resolved(changed('/models/llama', source)).spec.model.source;

describe('locations', () => {
  test.each([
    ['./model', 'file:///jobs/my%20job/model'],
    ['../model/', 'file:///jobs/model'],
    ['/models/llama', 'file:///models/llama'],
    ['file:///models/llama', 'file:///models/llama'],
    ['file://localhost/models/llama/', 'file:///models/llama'],
    ['"/models/50% #1?"', 'file:///models/50%25%20%231%3F'],
    ['/modèles', 'file:///mod%C3%A8les'],
  ])('%s becomes %s', (source, url) => expect(sourceOf(source)).toBe(url));

  test('all of a manifest are resolved, and resolving again elsewhere changes nothing', () => {
    const manifest = resolved(changed('[a.txt]', '[a.txt, ../b.jsonl]'));
    expect(manifest.spec.calibration).toMatchObject({ text: ['file:///jobs/my%20job/a.txt', 'file:///jobs/b.jsonl'] });
    expect(manifest.spec.output.destination).toBe('file:///out/llama');
    expect(resolveLocations(manifest, '/elsewhere')).toEqual(manifest);
    expect(parseManifest(JSON.stringify(manifest), 'again')).toEqual(manifest);
    expect(resolved(changed('text: [a.txt]', 'tokens: ids')).spec.calibration).toMatchObject({
      tokens: 'file:///jobs/my%20job/ids',
    });
  });

  test('synthetic ones become canonical, and the folder of a discarded output is resolved', () => {
    const set = [
      'spec.model.source=synthetic:tiny?seed=3',
      'spec.output.destination=discard:out',
      'spec.calibration.text=null',
      'spec.calibration.tokens=synthetic:tokens?samples=4',
    ];
    const manifest = resolveLocations(parseManifest(VALID, 'job.yaml', { set }), '/jobs');
    const { model, output, calibration } = manifest.spec;
    expect(model.source).toBe('synthetic:tiny?layers=4&seed=3&dtype=bf16');
    expect(output.destination).toBe('discard:file:///jobs/out');
    expect(calibration).toMatchObject({ tokens: 'synthetic:tokens?samples=4&sequenceLength=2048&seed=0' });
    expect(resolveLocations(manifest, '/elsewhere')).toEqual(manifest);
    expect(parseManifest(JSON.stringify(manifest), 'again')).toEqual(manifest);
    expect([destinationPath(output.destination), sourcePath(model.source)]).toEqual(['/jobs/out', model.source]);
    expect(destinationPath('file:///out')).toBe('/out');
    expect(sourcePath('file:///models/llama')).toBe('/models/llama');
  });

  test('a relative base folder is refused', () => {
    expect(() => resolveLocations(parseManifest(VALID, 'job.yaml'), 'here')).toThrow(
      /"here": expected an absolute path/,
    );
  });

  test('locationToPath undoes what resolving did', () => {
    expect(locationToPath(sourceOf('"./50% #1?"'))).toBe('/jobs/my job/50% #1?');
  });

  test.each(['models/llama', '/models/llama', 's3://bucket/x', 'file:model', 'file:///a%00b', 'file:///a%2Fb'])(
    'locationToPath refuses %s, which has not been resolved',
    (location) => expect(() => locationToPath(location)).toThrow(expect.objectContaining({ code: 'ArgumentInvalid' })),
  );
});
