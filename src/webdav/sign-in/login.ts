/**
 * Authenticates requests: Basic with an app password, or Digest if the password was made for it. A correct password is
 * remembered as a keyed digest, in memory only, so that not every request costs a scrypt.
 */
import { createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { BoundedMap } from "../../base/bounded-map.ts";
import { describeError, type Log } from "../../base/log.ts";
import { escapeForPrint } from "../../base/names.ts";
import { orElse } from "../../base/unless.ts";
import type { Ports } from "../../base/ports.ts";
import { isPassword, NOBODY, REALM } from "./app-passwords.ts";
import { Attempts } from "../../http/attempts.ts";
import type { Denial } from "../../http/denial.ts";
import { digestFields, Digests } from "./digest.ts";
import { PasswordFile } from "./password-file.ts";

/** The most correct passwords remembered. */
const MAX_REMEMBERED = 1_024;
/** The most passwords waiting to be hashed, one at a time: each takes 16 MiB and a processor for a while. */
const MAX_WAITING = 16;

export class Login {
  readonly #file: PasswordFile;
  readonly #log: Log;
  readonly #attempts: Attempts;
  readonly #digests: Digests;
  readonly #key: Uint8Array;
  /** The salt of the matching password: a new password of the same name has another one. */
  readonly #remembered = new BoundedMap<string, string>(MAX_REMEMBERED);
  /** Passwords being verified. */
  readonly #underWay = new Map<string, Promise<boolean>>();
  #hashing: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(passwordFile: string, { clock, random, log }: Ports) {
    this.#file = new PasswordFile(passwordFile);
    this.#log = log;
    this.#attempts = new Attempts(clock);
    this.#digests = new Digests(clock, random);
    this.#key = random.bytes(32);
  }

  /** Undefined: permitted. Never rejects. */
  async check(request: IncomingMessage): Promise<Denial | undefined> {
    try {
      const { authorization = "" } = request.headers;
      const basic = basicFields(authorization);
      if (basic !== undefined) return await this.#checkBasic(request, basic);
      const digest = digestFields(authorization);
      return digest === undefined ? this.#refusal(request) : this.#checkDigest(request, digest);
    } catch (error) {
      this.#log.error("could not check app passwords", { error: describeError(error) });
      return { status: 500, message: "Passwords cannot be checked now. See the agent's log." };
    }
  }

  /** For a request that was permitted just now: returns what refuses it once its password is revoked or replaced. */
  watch(request: IncomingMessage): () => Denial | undefined {
    const name = userOf(request) ?? "";
    const salt = orElse(undefined, () => this.#file.find(name)?.hash.salt);
    return () => (salt !== undefined && this.#file.find(name)?.hash.salt === salt ? undefined : this.#refusal(request));
  }

  async #checkBasic(request: IncomingMessage, { name, password }: BasicFields): Promise<Denial | undefined> {
    const entry = this.#file.find(name);
    const mark = createHmac("sha256", this.#key).update(`${name}\0${password}`).digest("base64");
    if (entry !== undefined && this.#remembered.get(mark) === entry.hash.salt) return undefined;
    const address = request.socket.remoteAddress;
    // A client that starts with many requests at once tries one password, once.
    const underWay = this.#underWay.get(mark);
    if (underWay !== undefined) return (await underWay) ? undefined : this.#refusal(request);
    const late = this.#attempts.take(address);
    if (late > 0) return tooMany(late);
    if (this.#waiting >= MAX_WAITING) return { ...tooMany(1), status: 503 };
    const isRight = this.#inTurn(
      async () => (await isPassword(password, entry?.hash ?? NOBODY)) && entry !== undefined,
    );
    this.#underWay.set(mark, isRight);
    try {
      if (!(await isRight)) return this.#failed(name, request);
    } finally {
      this.#underWay.delete(mark);
    }
    this.#attempts.giveBack(address);
    if (entry !== undefined) this.#remembered.set(mark, entry.hash.salt);
    return undefined;
  }

  #checkDigest(request: IncomingMessage, fields: ReadonlyMap<string, string>): Denial | undefined {
    const address = request.socket.remoteAddress;
    // Signed-in clients continue, even if others guess from the same address.
    const isSignedIn = this.#digests.wasRight(fields);
    const late = isSignedIn ? 0 : this.#attempts.take(address);
    if (late > 0) return tooMany(late);
    const { method = "", url = "" } = request;
    const verdict = this.#digests.verify(fields, { method, url }, (name) => this.#file.find(name)?.digest);
    if (verdict === "no") return this.#failed(fields.get("username") ?? "", request);
    if (!isSignedIn) this.#attempts.giveBack(address);
    return verdict === "yes" ? undefined : this.#refusal(request, true);
  }

  #failed(name: string, request: IncomingMessage): Denial {
    const { remoteAddress: from } = request.socket;
    this.#log.warn("a login failed", { name: escapeForPrint(name.slice(0, 64)), from });
    return this.#refusal(request);
  }

  #refusal(request: IncomingMessage, isStale = false): Denial {
    const digests = this.#file.hasDigest && needsDigest(request) ? this.#digests.challenges(isStale) : [];
    return {
      status: 401,
      message: "Sign in with an app password: syncline webdav password",
      headers: { "www-authenticate": [...digests, `Basic realm="${REALM}", charset="UTF-8"`] },
    };
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#waiting++;
    const turn = this.#hashing.then(work).finally(() => this.#waiting--);
    this.#hashing = turn.catch(() => {});
    return turn;
  }
}

/** The name that a request signs in with. Call this once `Login` has permitted it. */
export function userOf({ headers: { authorization = "" } }: IncomingMessage): string | undefined {
  return basicFields(authorization)?.name ?? digestFields(authorization)?.get("username");
}

/** Other clients take Digest where they may, and most passwords are for Basic alone. */
function needsDigest({ headers: { authorization = "", "user-agent": agent = "" } }: IncomingMessage): boolean {
  return agent.startsWith("Microsoft") || digestFields(authorization) !== undefined;
}

interface BasicFields {
  readonly name: string;
  readonly password: string;
}

function tooMany(seconds: number): Denial {
  const message = `Too many attempts from your address. Try again in ${seconds} s.`;
  return { status: 429, message, headers: { "retry-after": String(seconds) } };
}

/** RFC 7617. Undefined for another scheme. */
function basicFields(authorization: string): BasicFields | undefined {
  const encoded = /^basic +([A-Za-z0-9+/=_-]*)$/i.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? { name: text, password: "" } : { name: text.slice(0, colon), password: text.slice(colon + 1) };
}
