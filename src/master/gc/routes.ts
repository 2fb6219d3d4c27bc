/** The calls on the caller's garbage: request a collection, and see its result. A master runs one collection at a time. */
import { Refusal } from "../http/refusal.ts";
import type { Answer, Call, Route } from "../http/route.ts";
import type { Collector } from "./collector.ts";

const PATH = "/v1/collection";

export function collectionRoutes(collector: Collector): Route[] {
  return [
    { method: "POST", path: PATH, access: "bearer", handle: (call) => begin(collector, call) },
    { method: "GET", path: PATH, access: "bearer", handle: (call) => state(collector, call) },
  ];
}

async function begin(collector: Collector, call: Call): Promise<Answer> {
  const number = collector.ask(call.caller.wallet, dryRunIn(await call.json()));
  return { status: 202, headers: { "cache-control": "no-store" }, json: { counter: collector.counter, number } };
}

async function state(collector: Collector, { caller }: Call): Promise<Answer> {
  return { status: 200, headers: { "cache-control": "no-store" }, json: { ...collector.stateOf(caller.wallet) } };
}

function dryRunIn(body: unknown): boolean {
  // Nothing else: a misspelled member must not begin a real collection.
  const text = JSON.stringify(body);
  if (text === '{"dryRun":true}') return true;
  if (text === "{}" || text === '{"dryRun":false}') return false;
  throw new Refusal("malformed_request", 'The body must be {} or {"dryRun": true}.');
}
