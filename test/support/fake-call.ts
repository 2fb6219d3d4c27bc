/** Calls a master without HTTP: finds the route, makes the call, and returns its answer or refusal. */
import type { IncomingHttpHeaders } from "node:http";
import type { Wallet } from "../../src/base/ids.ts";
import { Refusal } from "../../src/master/http/refusal.ts";
import type { Answer, Route } from "../../src/master/http/route.ts";

export interface FakeCall {
  readonly method: Route["method"];
  /** Includes the query. */
  readonly path: string;
  readonly caller: Wallet;
  readonly headers?: IncomingHttpHeaders;
  readonly json?: unknown;
  readonly signal?: AbortSignal;
}

/** The answer; a Refusal is turned into its answer. */
export async function answerOf(routes: readonly Route[], call: FakeCall): Promise<Answer> {
  const url = new URL(call.path, "http://master");
  for (const route of routes) {
    const params = route.method === call.method ? paramsOf(route.path, url.pathname) : undefined;
    if (params === undefined) continue;
    const caller = { wallet: call.caller, bearer: "bearer" };
    try {
      return await route.handle({
        isHead: call.method === "HEAD",
        params,
        query: url.searchParams,
        headers: call.headers ?? {},
        caller,
        knownCaller: caller,
        peer: undefined,
        body: () => {
          throw new Error("these calls have JSON bodies only");
        },
        json: async () => call.json,
        signal: call.signal ?? new AbortController().signal,
      });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { status, code, message, details, headers } = error;
      return { status, headers, json: { code, message, ...details } };
    }
  }
  throw new Error(`no route for ${call.method} ${url.pathname}`);
}

function paramsOf(path: string, asked: string): Record<string, string> | undefined {
  const [wanted, given] = [path.split("/"), asked.split("/")];
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const text = decodeURIComponent(given[index] ?? "");
    if (/^\{.*\}$/.test(part)) params[part.slice(1, -1)] = text;
    else if (part !== text) return undefined;
  }
  return params;
}
