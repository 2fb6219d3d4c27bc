/** Signs requests with credentials or a bearer token, for a region and the server's time. Learns all of these from refusals. */
import aws4 from "aws4";
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Bearer } from "../../net/bearer.ts";
import { CredentialChain, type Credentials, type Environment, regionOf } from "./credentials.ts";
import { isRegion } from "./region.ts";
import { type S3Answer, type S3Request, sha256Of } from "./s3-request.ts";

export interface SignerOptions {
  readonly clock: Clock;
  readonly env?: Environment;
  readonly region: string | undefined;
  readonly bearer?: Bearer | undefined;
}

export interface Unsigned {
  readonly request: S3Request;
  readonly host: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly region: string;
}

export interface Signed {
  readonly headers: Record<string, string>;
  readonly region: string;
  readonly by: { readonly token: string } | { readonly credentials: Credentials };
}

/** Once for each of clock, region and credentials. */
const MOST_LESSONS = 3;
const SKEWED = new Set(["RequestTimeTooSkewed", "RequestExpired"]);
/** Credentials that ended, or that were rotated while they were in use here. */
const REFUSED = new Set([
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidAccessKeyId",
  "InvalidToken",
  "InvalidTokenId",
  "SignatureDoesNotMatch",
  "TokenRefreshRequired",
  "XAdminUserNotFound",
]);

export class Signer {
  /** How often one request is signed anew after a refusal. */
  readonly lessons: number;
  readonly #options: SignerOptions;
  readonly #credentials: CredentialChain;
  #region: Promise<string> | undefined;
  /** The server's clock minus ours; 0 until the server refuses our time. */
  #skewMs = 0;

  constructor(options: SignerOptions) {
    this.#options = options;
    this.#credentials = new CredentialChain(options.env ?? process.env, options.clock);
    this.lessons = options.bearer === undefined ? MOST_LESSONS : 1;
  }

  /** The one that the server named last, or else the configured one. Throws `config_invalid`. */
  region(): Promise<string> {
    return (this.#region ??= this.#configured());
  }

  /** Throws `bad_token` without credentials, and as the bearer does. */
  async sign({ request, host, path, headers, region }: Unsigned): Promise<Signed> {
    const { bearer } = this.#options;
    if (bearer !== undefined) {
      const token = await bearer.token();
      return { headers: { ...headers, authorization: `Bearer ${token}` }, region, by: { token } };
    }
    const at = new Date(this.#nowMs() + this.#skewMs);
    const signing = {
      host,
      method: request.method,
      path,
      service: "s3",
      region,
      headers: {
        ...headers,
        host,
        "x-amz-date": at.toISOString().replace(/[:-]|\.\d{3}/g, ""),
        "x-amz-content-sha256": sha256Of(request.body),
      },
    };
    const credentials = await this.#credentials.get();
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    aws4.sign(signing, { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) });
    return { headers: signing.headers, region, by: { credentials } };
  }

  /** Whether signing again may help, because of this refusal or what another request has learned since. */
  async learn({ status, headers, error }: S3Answer, signed: Signed): Promise<boolean> {
    if (error === undefined) return false;
    if ("token" in signed.by) return this.#renewed(status, signed.by.token);
    if (SKEWED.has(error.code)) {
      const serverMs = Date.parse(headers["date"] ?? "");
      if (Number.isNaN(serverMs)) return false;
      this.#skewMs = serverMs - this.#nowMs();
      return true;
    }
    if (REFUSED.has(error.code)) return this.#replaced(signed.by.credentials);
    const region = headers["x-amz-bucket-region"] ?? error.region;
    const isElsewhere = status === 301 || status === 307 || error.code === "AuthorizationHeaderMalformed";
    if (!isElsewhere || region === undefined || !isRegion(region) || region === signed.region) return false;
    this.#region = Promise.resolve(region);
    return true;
  }

  async #configured(): Promise<string> {
    const { region, env = process.env } = this.#options;
    const found = region ?? (await regionOf(env)) ?? "us-east-1";
    if (isRegion(found)) return found;
    throw new SynclineError("config_invalid", `${JSON.stringify(found)} cannot be an S3 region.`, {
      hint: "A region has letters, digits and hyphens. Correct AWS_REGION, or the region of the AWS profile.",
    });
  }

  /** Whether there is another bearer than the one that was refused. */
  async #renewed(status: number, token: string): Promise<boolean> {
    const { bearer } = this.#options;
    if (bearer === undefined || (status !== 401 && status !== 403)) return false;
    bearer.refused(token);
    return (await bearer.token()) !== token;
  }

  /** Whether there are other credentials than those that were refused. */
  async #replaced(credentials: Credentials): Promise<boolean> {
    this.#credentials.refused(credentials);
    const found = await this.#credentials.get();
    return (["accessKeyId", "secretAccessKey", "sessionToken"] as const).some(
      (part) => found[part] !== credentials[part],
    );
  }

  #nowMs(): number {
    return Number(this.#options.clock.nowNs() / 1_000_000n);
  }
}
