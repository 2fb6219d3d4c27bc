/** Calls about the caller: storage used and allowed, and revoking tokens. */
import { Refusal } from "../http/refusal.ts";
import type { Answer, Call, Route } from "../http/route.ts";
import type { MasterParts } from "../parts.ts";

export function accountRoutes(parts: MasterParts): Route[] {
  return [
    { method: "GET", path: "/api/v1/storage", access: "bearer", handle: (call) => storage(parts, call) },
    {
      method: "POST",
      path: "/v1/session/revoke",
      access: "bearer",
      takesUnrecorded: true,
      handle: (call) => revoke(parts, call),
    },
  ];
}

async function storage({ quota }: MasterParts, { caller }: Call): Promise<Answer> {
  return { status: 200, headers: { "cache-control": "no-store" }, json: await quota.stateOf(caller.wallet) };
}

/** Revokes the bearer itself, or with {"token"} another one of the same wallet. */
async function revoke({ bearers, revocations }: MasterParts, call: Call): Promise<Answer> {
  const { caller, peer } = call;
  const text = hasNoBody(call) ? caller.bearer : tokenIn(await call.json());
  // A revoked bearer may only be revoked again.
  if (text !== caller.bearer) await bearers.checkText(caller.bearer, peer);
  const bearer = await bearers.checkOwn(text, caller.wallet, peer);
  await revocations.add(bearer.digest, bearer.exp, bearers.nowSeconds());
  return { status: 200, json: { revoked: true, exp: bearer.exp } };
}

function hasNoBody({ headers }: Call): boolean {
  return headers["transfer-encoding"] === undefined && Number(headers["content-length"] ?? 0) === 0;
}

function tokenIn(value: unknown): string {
  if (typeof value === "object" && value !== null && "token" in value && typeof value.token === "string")
    return value.token;
  throw new Refusal("malformed_request", 'The body must be empty or {"token":"…"}.');
}
