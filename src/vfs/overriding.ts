/** Overrides some calls of a filesystem. */
import type { FileSystem } from "./filesystem.ts";

/** `fs`, with `calls` replacing its own. They may call `fs`. */
export function overriding(fs: FileSystem, calls: Partial<FileSystem>): FileSystem {
  const bound = new Map<PropertyKey, unknown>(Object.entries(calls));
  return new Proxy(fs, {
    get(target, property) {
      if (!bound.has(property)) {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== "function") return value;
        bound.set(property, value.bind(target));
      }
      return bound.get(property);
    },
  });
}
