/** The part of the WebAssembly API that the kernel uses: neither ES2024's types nor Node's have it. */
declare namespace WebAssembly {
  class Module {
    /** A module is opaque: this keeps other objects from passing for one. */
    private readonly compiled: never;
  }

  class Memory<Shared extends boolean = boolean> {
    constructor(descriptor: { initial: number; maximum: number; shared: Shared });
    /** One that is not shared is another object, and the one before of no use, once the memory has grown. */
    readonly buffer: Shared extends true ? SharedArrayBuffer : ArrayBuffer;
    /** Adds pages of 64 KiB; the number of pages before. */
    grow(pages: number): number;
  }

  class Instance {
    constructor(module: Module, imports: { env: { memory: Memory } });
    readonly exports: Readonly<Record<string, unknown>>;
  }

  function compile(bytes: Uint8Array): Promise<Module>;
}
