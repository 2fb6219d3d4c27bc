/** Finds the route for a method and path. HEAD is answered wherever GET is. */
import type { Route } from "./route.ts";

export type Match =
  | { readonly kind: "found"; readonly route: Route; readonly params: Readonly<Record<string, string>> }
  | { readonly kind: "other methods"; readonly allow: readonly string[] }
  | { readonly kind: "nothing" };

export class Router {
  readonly #routes: readonly { readonly route: Route; readonly pattern: readonly string[] }[];

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => ({ route, pattern: route.path.split("/").slice(1) }));
  }

  /** `segments` are the path's parts, decoded. */
  match(method: string, segments: readonly string[]): Match {
    const allow = new Set<string>();
    let asGet: Match | undefined;
    for (const { route, pattern } of this.#routes) {
      const params = paramsOf(pattern, segments);
      if (params === undefined) continue;
      if (route.method === method) return { kind: "found", route, params };
      if (route.method === "GET" && method === "HEAD") asGet ??= { kind: "found", route, params };
      allow.add(route.method);
      if (route.method === "GET") allow.add("HEAD");
    }
    if (asGet !== undefined) return asGet;
    return allow.size === 0 ? { kind: "nothing" } : { kind: "other methods", allow: [...allow].sort() };
  }
}

function paramsOf(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? "";
    if (!part.startsWith("{")) {
      if (part !== segment) return undefined;
    } else if (segment === "") return undefined;
    else params[part.slice(1, -1)] = segment;
  }
  return params;
}
