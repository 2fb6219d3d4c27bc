/** Loads the native addon, which is optional: each part says what it takes from it. */
import { createRequire } from "node:module";

/** What the addon exports, unchecked. Throws what loading throws. */
export function loadNative(): unknown {
  return createRequire(import.meta.url)("#fuse-addon");
}

/** Calls for this process as a whole. Undefined: the addon is not built, or this is not Linux. */
export interface ProcessAddon {
  /** mallopt(3): has the allocator keep less of what is freed. */
  boundMemory(): void;
  /** malloc_trim(3): gives freed memory back to the system. */
  trimMemory(): void;
  /** setsid(2), unless this process leads a group already. */
  startSession(): void;
}

export function loadProcessAddon(): Partial<ProcessAddon> {
  if (process.platform !== "linux") return {};
  try {
    return loadNative() as Partial<ProcessAddon>;
  } catch {
    return {};
  }
}
