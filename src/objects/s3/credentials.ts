/** S3 credentials, from the places where AWS's own tools look. Temporary ones are renewed before they expire. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { failedWith } from "../../base/system-errors.ts";

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  /** When they end, in milliseconds since 1970; absent: they do not. */
  readonly expiresMs?: number | undefined;
}

/** The variables that are read: those of the process, except in tests. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Credentials are renewed this long before they expire. */
const AHEAD_MS = 5 * 60 * 1000;
/** The shortest time between two attempts to renew credentials that are still valid. */
const AGAIN_MS = 30_000;
/** Endpoints on this machine or its host answer at once, or not at all. */
const ENDPOINT_MS = 2_000;
const INSTANCE = "http://169.254.169.254";
const CONTAINER = "http://169.254.170.2";

export class CredentialChain {
  readonly #env: Environment;
  readonly #clock: Clock;
  #known: Credentials | undefined;
  #fetching: Promise<Credentials> | undefined;
  #fetchedMs = -Infinity;

  constructor(env: Environment, clock: Clock) {
    this.#env = env;
    this.#clock = clock;
  }

  /**
   * Concurrent calls share one fetch. If renewing fails, credentials that are still valid are returned. Throws `bad_token`.
   */
  async get(): Promise<Credentials> {
    const known = this.#known;
    if (known === undefined) return this.#fetch();
    const leftMs = (known.expiresMs ?? Infinity) - nowMs(this.#clock);
    const isFresh = this.#clock.monotonicMs() - this.#fetchedMs < AGAIN_MS;
    if (leftMs > AHEAD_MS || (leftMs > 0 && isFresh)) return known;
    try {
      return await this.#fetch();
    } catch (error) {
      if (leftMs > 0) return known;
      throw error;
    }
  }

  /** Forgets credentials that the server refused, so that the next call fetches new ones. */
  refused(credentials: Credentials): void {
    if (this.#known === credentials) this.#known = undefined;
  }

  #fetch(): Promise<Credentials> {
    this.#fetchedMs = this.#clock.monotonicMs();
    this.#fetching ??= this.#find()
      .then((found) => (this.#known = found))
      .finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  async #find(): Promise<Credentials> {
    const env = this.#env;
    const found =
      fromEnvironment(env) ??
      (await fromProfile(env)) ??
      (await fromContainer(env, this.#clock)) ??
      (env["AWS_EC2_METADATA_DISABLED"] === "true" ? undefined : await fromInstance(env, this.#clock));
    if (found !== undefined) return found;
    throw new SynclineError("bad_token", "There are no credentials for S3.", {
      hint: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
    });
  }
}

/** The region that the environment or the profile names. */
export async function regionOf(env: Environment): Promise<string | undefined> {
  const named = env["AWS_REGION"] ?? env["AWS_DEFAULT_REGION"];
  if (named !== undefined && named !== "") return named;
  return (await readProfile(env)).get("region");
}

function fromEnvironment(env: Environment): Credentials | undefined {
  const accessKeyId = env["AWS_ACCESS_KEY_ID"];
  const secretAccessKey = env["AWS_SECRET_ACCESS_KEY"];
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: env["AWS_SESSION_TOKEN"] || undefined };
}

async function fromProfile(env: Environment): Promise<Credentials | undefined> {
  const profile = await readProfile(env);
  const accessKeyId = profile.get("aws_access_key_id");
  const secretAccessKey = profile.get("aws_secret_access_key");
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    const name = env["AWS_PROFILE"];
    if (!name) return undefined;
    if (profile.size === 0)
      throw new SynclineError("bad_token", `There is no AWS profile ${name}.`, {
        hint: `Correct AWS_PROFILE, or make the profile with \`aws configure --profile ${name}\`.`,
      });
    throw new SynclineError("bad_token", `The AWS profile ${name} has no access key.`, {
      hint: "Profiles with aws_access_key_id and aws_secret_access_key are supported.",
    });
  }
  return { accessKeyId, secretAccessKey, sessionToken: profile.get("aws_session_token") };
}

/** The settings of the chosen profile, from both of AWS's files. */
async function readProfile(env: Environment): Promise<Map<string, string>> {
  const profile = env["AWS_PROFILE"] || "default";
  const folder = join(env["HOME"] || homedir(), ".aws");
  const config = await readText(env["AWS_CONFIG_FILE"] || join(folder, "config"));
  const credentials = await readText(env["AWS_SHARED_CREDENTIALS_FILE"] || join(folder, "credentials"));
  const inConfig = profile === "default" ? profile : `profile ${profile}`;
  return new Map([...sectionOf(config, inConfig), ...sectionOf(credentials, profile)]);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (failedWith(cause, "ENOENT", "ENOTDIR")) return "";
    throw new SynclineError("local_io_failed", `${path} cannot be read.`, { cause });
  }
}

function sectionOf(text: string, wanted: string): Map<string, string> {
  const settings = new Map<string, string>();
  let isWanted = false;
  for (const line of text.split("\n")) {
    const section = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)?.[1];
    if (section !== undefined) isWanted = section.replace(/\s+/g, " ") === wanted;
    const [, key, value] = /^([A-Za-z_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (isWanted && key !== undefined && value !== undefined) settings.set(key.toLowerCase(), value);
  }
  return settings;
}

/** An endpoint beside a container, as ECS and EKS offer. */
async function fromContainer(env: Environment, clock: Clock): Promise<Credentials | undefined> {
  const relative = env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
  const url = relative ? `${CONTAINER}${relative}` : env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
  if (!url) return undefined;
  const file = env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
  const token = file ? (await readText(file)).trim() : env["AWS_CONTAINER_AUTHORIZATION_TOKEN"];
  return parseTemporary(await ask(clock, url, token ? { headers: { authorization: token } } : {}), url);
}

/** The instance's role, by IMDSv2. */
async function fromInstance(env: Environment, clock: Clock): Promise<Credentials | undefined> {
  const origin = env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] || INSTANCE;
  const roles = `${origin}/latest/meta-data/iam/security-credentials/`;
  try {
    const session = { method: "PUT", headers: { "x-aws-ec2-metadata-token-ttl-seconds": "300" } };
    const headers = { "x-aws-ec2-metadata-token": await ask(clock, `${origin}/latest/api/token`, session) };
    const [role = ""] = (await ask(clock, roles, { headers })).split("\n");
    return parseTemporary(await ask(clock, roles + role, { headers }), roles);
  } catch {
    // Most machines are not EC2 instances.
    return undefined;
  }
}

async function ask(clock: Clock, url: string, init: RequestInit): Promise<string> {
  const late = new AbortController();
  using _ = clock.after(ENDPOINT_MS, () => late.abort());
  let [answer, text]: [Response | undefined, string] = [undefined, ""];
  try {
    answer = await fetch(url, { ...init, signal: late.signal });
    text = await answer.text();
  } catch (cause) {
    throw new SynclineError("bad_token", `${url} does not answer with credentials for S3.`, { cause });
  }
  if (!answer.ok) throw new SynclineError("bad_token", `${url} answered ${answer.status} instead of credentials.`);
  return text;
}

function parseTemporary(text: string, url: string): Credentials {
  try {
    const { AccessKeyId, SecretAccessKey, Token, Expiration } = JSON.parse(text) as Record<string, unknown>;
    if (typeof AccessKeyId === "string" && typeof SecretAccessKey === "string") {
      const expiresMs = typeof Expiration === "string" ? Date.parse(Expiration) : Number.NaN;
      return {
        accessKeyId: AccessKeyId,
        secretAccessKey: SecretAccessKey,
        sessionToken: typeof Token === "string" ? Token : undefined,
        expiresMs: Number.isNaN(expiresMs) ? undefined : expiresMs,
      };
    }
  } catch {
    // Said below; the text may hold a key.
  }
  throw new SynclineError("bad_token", `${url} answered something other than credentials.`);
}

function nowMs(clock: Clock): number {
  return Number(clock.nowNs() / 1_000_000n);
}
