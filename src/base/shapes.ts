/**
 * Shapes (V8's hidden classes) of objects that live for a moment only. When the collector finds no object of a shape, V8 forgets the
 * shape and drops all optimised code that has met it, and the next burst of work runs slowly until that is compiled again
 * (docs/decisions/0045-keep-one-of-each-shape.md, "One object of a shape that lives for a moment is kept").
 */
const kept: object[] = [];

/** Keeps one object of a shape, and all that it refers to, for as long as the process runs. */
export function keepShape(example: object): void {
  kept.push(example);
}
