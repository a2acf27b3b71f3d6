/** Child process of check-engine.ts: `probe-engine.ts cpu|cuda` loads ONNX Runtime and computes once on that provider. */
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import { probeProvider } from '../../worker/engine/session.ts';

const FAILED = 1;

try {
  await probeProvider(process.argv[2] === 'cuda' ? 'cuda' : 'cpu', 0);
} catch (thrown) {
  process.stdout.write(toSecateurError(thrown).message);
  process.exitCode = FAILED;
}
