/** Dispatches a request, whatever its transport: finds the route, checks the bearer, runs the handler. */
import type { IncomingHttpHeaders } from "node:http";
import type { Bearer, Bearers } from "./bearers.ts";
import type { Peer } from "./signature-queue.ts";
import { Refusal } from "./refusal.ts";
import type { Answer, Call, Route } from "./route.ts";
import type { Router } from "./router.ts";
import { parseTarget } from "./target.ts";

export interface Incoming extends Pick<Call, "body" | "signal"> {
  readonly method: string;
  /** Of the request line: path and query. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  /** As `Call.json`, with memory charged to `owner`: a wallet, or "" for callers without one. */
  json(owner: string): Promise<unknown>;
  /** The caller, for bearers that must be verified; without it they are verified at once. */
  readonly peer?: Peer;
  /** Waits until another unauthenticated call may be answered. */
  readonly pace?: () => Promise<void>;
  /** Called with the route as soon as it is found. */
  readonly onRoute?: (route: Route) => void;
  /** Called with the bearer before the call is handled; undefined if there is none, as where the route is public. */
  readonly onBearer?: (bearer: Bearer | undefined) => void;
}

/** Throws a `Refusal`, or what the route's handler throws. */
export async function dispatch(
  { router, bearers }: { readonly router: Router; readonly bearers: Pick<Bearers, "check"> },
  incoming: Incoming,
): Promise<Answer> {
  const { method, target, headers, body, signal, onRoute, onBearer } = incoming;
  const { segments, query } = parseTarget(target);
  const { route, params } = found(router, method, segments);
  onRoute?.(route);
  const bearer = await bearerOf(bearers, incoming, route);
  if (route.paced === true && bearer === undefined) await incoming.pace?.();
  onBearer?.(bearer);
  const caller = bearer && { wallet: bearer.wallet, bearer: bearer.text };
  return route.handle({
    isHead: method === "HEAD",
    params,
    query,
    headers,
    get caller() {
      if (caller === undefined) throw new Refusal("bearer_missing", "This call needs a bearer token.");
      return caller;
    },
    knownCaller: caller,
    peer: incoming.peer,
    body,
    json: () => incoming.json(bearer?.wallet ?? ""),
    signal,
  });
}

/** Throws a `Refusal` only if the route needs a bearer, or if the bearer could not be checked. */
async function bearerOf(
  bearers: Pick<Bearers, "check">,
  { headers, peer }: Incoming,
  { access, takesUnrecorded }: Route,
): Promise<Bearer | undefined> {
  if (access === "public") return undefined;
  try {
    return await bearers.check(headers.authorization, peer, takesUnrecorded);
  } catch (error) {
    if (access === "either" && error instanceof Refusal && error.code !== "busy") return undefined;
    throw error;
  }
}

function found(router: Router, method: string, segments: readonly string[]): Pick<Call, "params"> & { route: Route } {
  const match = router.match(method, segments);
  if (match.kind === "nothing") {
    throw new Refusal(
      "no_such_call",
      "There is no such call. docs/reference/protocol.md lists all; GET /fula/capabilities shows what is offered.",
    );
  }
  if (match.kind === "other methods") {
    const allow = match.allow.join(", ");
    throw new Refusal("method_not_allowed", `This path accepts ${allow}.`, { headers: { allow } });
  }
  return match;
}
