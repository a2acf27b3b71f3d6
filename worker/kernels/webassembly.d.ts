/** The part of the WebAssembly API that the kernel uses: neither ES2024's types nor Node's have it. */
declare namespace WebAssembly {
  class Module {
    /** A module is opaque: this keeps other objects from passing for one. */
    private readonly compiled: never;
  }

  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared: true });
    readonly buffer: SharedArrayBuffer;
    /** Adds pages of 64 KiB; the number of pages before. */
    grow(pages: number): number;
  }

  class Instance {
    constructor(module: Module, imports: { env: { memory: Memory } });
    readonly exports: Readonly<Record<string, unknown>>;
  }

  function compile(bytes: Uint8Array): Promise<Module>;
}
