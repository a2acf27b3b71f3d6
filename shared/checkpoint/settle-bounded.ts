/**
 * Like Promise.allSettled over `work(item)`, with at most `concurrency` at work at once. Every item is tried, so that
 * what is wrong with all of them can be told at once, in their order.
 */
export async function settleBounded<Item, Result>(
  items: readonly Item[],
  concurrency: number,
  work: (item: Item) => Promise<Result>,
): Promise<PromiseSettledResult<Result>[]> {
  const results: PromiseSettledResult<Result>[] = new Array(items.length);
  // One iterator for all lanes: each item is taken once.
  const entries = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of entries) {
      [results[index]] = await Promise.allSettled([(async () => work(item))()]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, lane));
  return results;
}
