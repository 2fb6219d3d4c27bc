/** Small tools for collections. */

/** Groups items by `keyOf`, in their order. (Map.groupBy needs Node 21.) */
export function groupBy<Key, Item>(items: Iterable<Item>, keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

/** Appends items of any number. A call with all of them as arguments overflows the stack beyond 100,000. */
export function addAll<Item>(to: Item[], items: Iterable<Item>): void {
  for (const item of items) to.push(item);
}

/** The items in this order, so many at a time. */
export function* inPortions<Item>(items: readonly Item[], most: number): Generator<Item[]> {
  for (let at = 0; at < items.length; at += most) yield items.slice(at, at + most);
}

/** Batches in this order, of at most so many bytes and items, unless a single item has more. */
export function* inBatches<Item>(
  items: Iterable<Item>,
  bytesOf: (item: Item) => number,
  most: { readonly bytes: number; readonly items?: number },
): Generator<Item[]> {
  let batch: Item[] = [];
  let left = most.bytes;
  for (const item of items) {
    const bytes = bytesOf(item);
    if (batch.length > 0 && (bytes > left || batch.length === most.items)) {
      yield batch;
      [batch, left] = [[], most.bytes];
    }
    batch.push(item);
    left -= bytes;
  }
  if (batch.length > 0) yield batch;
}
