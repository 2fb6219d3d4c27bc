/**
 * Keeps shapes (V8's hidden classes) of short-lived objects alive. When the garbage collector finds no object of a shape,
 * V8 drops the shape and all optimized code that has seen it, so the next burst of work runs slowly until recompiled
 * (docs/decisions/0045-keep-one-of-each-shape.md).
 */
const kept: object[] = [];

/** Keeps one object of a shape, with everything it refers to, while the process runs. */
export function keepShape(example: object): void {
  kept.push(example);
}
