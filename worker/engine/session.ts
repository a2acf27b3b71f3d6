/**
 * ONNX Runtime, as the engine uses it: sessions, decoder layers, and the question whether a provider is there.
 *
 * Creating a session and running it block the calling thread for their whole duration, and a thread that is stopped
 * inside a run aborts the process: hence the engine is a process of its own. What must be in the environment of that
 * process before it begins stands in environment.ts.
 */
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { STATISTICS, type Statistic } from '../../shared/models/family.ts';
import { comparisonOutputs, inputOutput, LAYER_INPUT, LAYER_OUTPUT } from '../../shared/onnx/decoder-layer.ts';
import { DATA_TYPE_OF, EXTERNAL_DATA_FOLDER, GraphBuilder } from '../../shared/onnx/graph.ts';
import { HEAD_INPUT, HEAD_OUTPUT, HEAD_TARGET } from '../../shared/onnx/language-head.ts';
import { isOutOfMemory } from './out-of-memory.ts';

export type Provider = 'cpu' | 'cuda';

export interface SessionSettings {
  readonly provider: Provider;
  readonly deviceId: number;
  /** Threads inside an operator. */
  readonly threads: number;
  /**
   * Casts weights to the type of computation and packs them for the matrix kernel, once, when the session is created:
   * 4 bytes a weight in memory, and a result that depends neither on the threads nor on the batch. Otherwise weights
   * stay mapped and are cast in every run, by kernels that round otherwise, and otherwise for other thread counts where
   * matrices are narrow (shared/onnx/weight-casts.ts).
   */
  readonly foldCasts: boolean;
}

/**
 * @throws EngineFailed with the runtime's own words: the model or a file does not suit it; DeviceMemoryExhausted
 */
export async function createSession(modelBytes: Uint8Array, settings: SessionSettings): Promise<InferenceSession> {
  // Whatever the runtime logs as an error it also throws, and the thrower's caller knows what it was about.
  env.logLevel = 'fatal';
  try {
    return await InferenceSession.create(modelBytes, sessionOptions(settings));
  } catch (cause) {
    throw engineFailed('could not load the model', settings, cause);
  }
}

function sessionOptions({ provider, deviceId, threads, foldCasts }: SessionSettings): InferenceSession.SessionOptions {
  return {
    executionProviders: provider === 'cuda' ? [{ name: 'cuda', deviceId }, 'cpu'] : ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 4,
    // Runs are long and few: an arena and a memory pattern only double what a second run holds.
    enableCpuMemArena: false,
    enableMemPattern: false,
    extra: {
      'session.model_external_initializers_file_folder_path': EXTERNAL_DATA_FOLDER,
      // A spinning thread takes a core from the kernels and from the other processes of the node.
      'session.intra_op.allow_spinning': '0',
      ...(foldCasts
        ? {}
        : { 'optimization.disable_specified_optimizers': 'ConstantFolding', 'session.disable_prepacking': '1' }),
      ...(provider === 'cuda' ? { 'session.use_device_allocator_for_initializers': '1' } : {}),
    },
  };
}

export interface LayerOutputs {
  /** Statistic → column sums of squares [B, D]; empty where the model was built without. */
  readonly statistics: ReadonlyMap<Statistic, Float32Array>;
  /** [B, S, H]; null where the model was built without. */
  readonly hidden: Float32Array | null;
  /** Statistic → the input [B · S, D] that it is of; those that the model was built with. */
  readonly inputs: ReadonlyMap<Statistic, Float32Array>;
}

export interface LayerSession {
  /**
   * `hidden` [B, S, H] float32, any B. It is not changed.
   *
   * @throws EngineFailed, DeviceMemoryExhausted
   */
  run(hidden: Float32Array, dims: readonly [batch: number, sequence: number, width: number]): Promise<LayerOutputs>;
  /** Gives the memory back; the session is of no use afterwards. */
  release(): Promise<void>;
}

interface StableSession {
  /**
   * @param what could not be done, where it fails
   * @param inputs made inside the run: a length that does not fit its dimensions fails as the run does
   * @throws EngineFailed, DeviceMemoryExhausted
   */
  run(what: string, inputs: () => InferenceSession.FeedsType): Promise<InferenceSession.OnnxValueMapType>;
  readonly release: () => Promise<void>;
}

/**
 * A session whose results on the CPU are the same bytes for any number of threads and any grouping of samples into
 * batches. That holds where casts are folded; where they are not, for as many threads as shared/onnx/weight-casts.ts allows.
 *
 * @throws as createSession
 */
async function createStableSession(modelBytes: Uint8Array, settings: SessionSettings): Promise<StableSession> {
  const session = await createSession(modelBytes, settings);
  return {
    run: async (what, inputs) => {
      try {
        return await session.run(inputs());
      } catch (cause) {
        throw engineFailed(what, settings, cause);
      }
    },
    release: () => session.release(),
  };
}

/**
 * A session of a model of buildDecoderLayer, as independent of threads and batches as createStableSession says.
 *
 * @throws EngineFailed
 */
export async function createLayerSession(
  modelBytes: Uint8Array,
  layerSettings: SessionSettings,
): Promise<LayerSession> {
  const session = await createStableSession(modelBytes, layerSettings);
  return {
    run: async (hidden, dims) => {
      const what = `could not run the model on hidden states [${dims.join(', ')}]`;
      return layerOutputs(await session.run(what, () => ({ [LAYER_INPUT]: new Tensor('float32', hidden, dims) })));
    },
    release: session.release,
  };
}

export interface HeadSession {
  /**
   * @param hidden [T, H] float32, behind the last layer
   * @param targets [T]: the token that follows each
   * @returns [T]: -log p(target)
   * @throws EngineFailed
   */
  run(hidden: Float32Array, targets: Int32Array): Promise<Float32Array>;
  release(): Promise<void>;
}

/** What other weights change in the output of one linear: squares summed over the sample's tokens, [B, O] each. */
interface LinearComparison {
  readonly error: Float32Array;
  readonly output: Float32Array;
}

export interface ComparisonSession {
  /** By short name. @throws EngineFailed */
  run(
    hidden: Float32Array,
    dims: readonly [batch: number, sequence: number, width: number],
  ): Promise<ReadonlyMap<string, LinearComparison>>;
  release(): Promise<void>;
}

/**
 * A session of a model of buildDecoderLayer with `compared` weights, of these linears.
 *
 * @throws EngineFailed
 */
export async function createComparisonSession(
  modelBytes: Uint8Array,
  linears: readonly string[],
  layerSettings: SessionSettings,
): Promise<ComparisonSession> {
  const session = await createStableSession(modelBytes, layerSettings);
  return {
    run: async (hidden, dims) => {
      const what = `could not compare weights on hidden states [${dims.join(', ')}]`;
      const outputs = await session.run(what, () => ({ [LAYER_INPUT]: new Tensor('float32', hidden, dims) }));
      return new Map(
        linears.map((linear) => {
          const names = comparisonOutputs(linear);
          return [linear, { error: float32Of(outputs[names.error]), output: float32Of(outputs[names.output]) }];
        }),
      );
    },
    release: session.release,
  };
}

/**
 * A session of a model of buildLanguageHead; as independent of threads and batches as a layer's.
 *
 * @throws EngineFailed
 */
export async function createHeadSession(
  modelBytes: Uint8Array,
  headSettings: Omit<SessionSettings, 'foldCasts'>,
): Promise<HeadSession> {
  const session = await createStableSession(modelBytes, { ...headSettings, foldCasts: true });
  return {
    run: async (hidden, targets) => {
      const tokens = targets.length;
      const outputs = await session.run(`could not run the language head on ${tokens} tokens`, () => ({
        [HEAD_INPUT]: new Tensor('float32', hidden, [tokens, hidden.length / tokens]),
        [HEAD_TARGET]: new Tensor('int64', BigInt64Array.from(targets, BigInt), [tokens, 1]),
      }));
      return float32Of(outputs[HEAD_OUTPUT]);
    },
    release: session.release,
  };
}

function layerOutputs(outputs: InferenceSession.OnnxValueMapType): LayerOutputs {
  const statistics = STATISTICS.filter((name) => outputs[name] !== undefined).map(
    (name) => [name, float32Of(outputs[name])] as const,
  );
  return {
    statistics: new Map(statistics),
    hidden: outputs[LAYER_OUTPUT] === undefined ? null : float32Of(outputs[LAYER_OUTPUT]),
    inputs: new Map(
      STATISTICS.flatMap((name) => {
        const input = outputs[inputOutput(name)];
        return input === undefined ? [] : [[name, float32Of(input)] as const];
      }),
    ),
  };
}

function float32Of(value: InferenceSession.OnnxValueMapType[string] | undefined): Float32Array {
  return (value as Tensor).data as Float32Array;
}

/**
 * The provider to compute on. Only a session tells whether CUDA is there (the binding's own list says what it was
 * compiled with): one of two nodes is created and run. `auto` falls back to the CPU and tells why, a provider that was
 * named does not.
 *
 * @throws ProviderUnavailable with the provider's own words
 */
export async function probeProvider(
  wanted: 'auto' | Provider,
  deviceId = 0,
  onFallback: (why: SecateurError) => void = () => undefined,
): Promise<Provider> {
  if (wanted === 'cpu') {
    await tryProvider('cpu', deviceId);
    return 'cpu';
  }
  try {
    await tryProvider('cuda', deviceId);
    return 'cuda';
  } catch (thrown) {
    if (wanted === 'cuda') throw thrown;
    await tryProvider('cpu', deviceId);
    onFallback(toSecateurError(thrown));
    return 'cpu';
  }
}

async function tryProvider(provider: Provider, deviceId: number): Promise<void> {
  const graph = new GraphBuilder('probe');
  const input = graph.input('input', DATA_TYPE_OF.F32, [2]);
  const doubled = graph.operator('Add', [input, input]);
  graph.operator('Mul', [doubled, input], { output: 'output' });
  graph.output('output', DATA_TYPE_OF.F32, [2]);
  try {
    const session = await createSession(graph.encode(), { provider, deviceId, threads: 1, foldCasts: true });
    try {
      await session.run({ input: new Tensor('float32', Float32Array.of(1, 3), [2]) });
    } finally {
      await session.release();
    }
  } catch (thrown) {
    const cause = thrown instanceof SecateurError ? thrown.cause : thrown;
    throw unavailable(provider, deviceId, cause);
  }
}

function unavailable(provider: Provider, deviceId: number, cause: unknown): SecateurError {
  const advice =
    provider === 'cuda'
      ? 'Install the CUDA libraries of onnxruntime-node and check that this process sees the device (nvidia-smi), or ask for provider cpu.'
      : 'Install the dependencies again for this platform.';
  return new SecateurError(
    'ProviderUnavailable',
    `ONNX Runtime: expected to compute on ${provider}${provider === 'cuda' ? `, device ${deviceId}` : ''}; it answered: ${wordsOf(cause)}. ${advice}`,
    { cause, details: { provider, deviceId } },
  );
}

function engineFailed(what: string, settings: SessionSettings, cause: unknown): SecateurError {
  const { provider, deviceId } = settings;
  const words = wordsOf(cause);
  // Another worker's device may have more memory, and this one's may be another process's for a while.
  const isMemory = isOutOfMemory(words);
  return new SecateurError(
    isMemory ? 'DeviceMemoryExhausted' : 'EngineFailed',
    `ONNX Runtime on ${provider} ${what}: ${words}`,
    { cause, retryable: isMemory, details: { provider, deviceId } },
  );
}

function wordsOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).trim().replace(/\.$/, '');
}
