/** A part of the workers of bench/scale.ts: started by it, ends with it. Arguments: address, first, count, ms of half a layer. */
import { SimulatedWorkers } from '../test/support/simulated-workers.ts';

const [address = '', first = '0', count = '1', halfLayerMs = '0'] = process.argv.slice(2);
const names = Array.from({ length: Number(count) }, (_, index) => `w${String(Number(first) + index).padStart(4, '0')}`);
const workers = new SimulatedWorkers(address, names, Number(halfLayerMs));
process.on('disconnect', () => process.exit(0));
process.on('message', () => {
  workers[Symbol.asyncDispose]().then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
