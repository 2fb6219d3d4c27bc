/** Tells when a bucket's root may have moved: by the store's own hints where it has any, and by looking again and again. */
import type { Clock } from "../../base/clock.ts";
import { ROOT_OBJECT } from "../../format/object-name.ts";
import type { ObjectStore } from "../../objects/object-store.ts";

/**
 * Calls `changed` after the first look, and then whenever the root object differs from what it was at the last look, the store
 * vanishes or it comes back, until disposed. Looks every `intervalMs`, and at once on a hint.
 */
export function watchRoot(store: ObjectStore, clock: Clock, intervalMs: number, changed: () => void): Disposable {
  let stopped = false;
  let looking = false;
  let again = false;
  let last: string | undefined;
  let timer: Disposable | undefined;
  let hints: Disposable | undefined;

  const look = async (): Promise<void> => {
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    timer?.[Symbol.dispose]();
    do {
      again = false;
      const seen = await fingerprint(store);
      if (stopped) return;
      if (seen !== last) changed();
      if (last === UNREACHABLE && seen !== last) listen();
      last = seen;
    } while (again);
    looking = false;
    timer = clock.after(intervalMs, () => void look());
  };

  const listen = () => {
    hints?.[Symbol.dispose]();
    hints = store.watch?.(ROOT_OBJECT, () => void look());
  };

  listen();
  void look();
  return {
    [Symbol.dispose]: () => {
      stopped = true;
      timer?.[Symbol.dispose]();
      hints?.[Symbol.dispose]();
    },
  };
}

const UNREACHABLE = "unreachable";

/** Whatever is wrong with the store, the reader of the root will say; here it only has to look different. */
async function fingerprint(store: ObjectStore): Promise<string> {
  try {
    return (await store.get(ROOT_OBJECT))?.token ?? "absent";
  } catch {
    return UNREACHABLE;
  }
}
