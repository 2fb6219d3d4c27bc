/** A refusal for a client: a status, a sentence, and the failed precondition where RFC 4918 names one. */
import type { OutgoingHttpHeaders } from "node:http";
import { ERRNO } from "../base/errno.ts";
import { SynclineError } from "../base/errors.ts";
import { DISK_FULL, systemCodeOf } from "../base/system-errors.ts";
import { FsError } from "../vfs/filesystem.ts";
import { escapeText } from "./xml/xml-text.ts";

export interface RefusalDetails {
  /** The element of the DAV: namespace that names the precondition (RFC 4918, section 16). */
  readonly condition?: string;
  /** The resources concerned, as encoded paths. */
  readonly hrefs?: readonly string[];
  readonly headers?: OutgoingHttpHeaders;
  readonly cause?: unknown;
}

export class Refusal extends Error {
  readonly status: number;
  readonly details: RefusalDetails;

  constructor(status: number, message: string, details: RefusalDetails = {}) {
    super(message, { cause: details.cause });
    this.name = "Refusal";
    this.status = status;
    this.details = details;
  }

  get contentType(): string {
    return this.details.condition === undefined ? "text/plain; charset=utf-8" : "application/xml; charset=utf-8";
  }

  get body(): string {
    const { condition, hrefs = [] } = this.details;
    if (condition === undefined) return `${this.message}\n`;
    const inner = hrefs.map((href) => `<D:href>${escapeText(href)}</D:href>`).join("");
    const element = inner === "" ? `<D:${condition}/>` : `<D:${condition}>${inner}</D:${condition}>`;
    return `<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:">${element}</D:error>\n`;
  }
}

/** For a folder that lies in itself, as a faulty writer may have made it. */
export function loop(): Refusal {
  return new Refusal(508, "The bucket is damaged: a folder lies in itself.");
}

/** Maps any failure to a refusal. Those of 500 and above are ours, and belong in the log. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const answer = answerTo(at);
    if (answer !== undefined) return new Refusal(answer[0], answer[1], { cause: error, headers: headersOf(answer[0]) });
  }
  return new Refusal(500, "A bug or damaged storage caused this failure. See the agent's log.", { cause: error });
}

type Answer = readonly [status: number, message: string];

function answerTo(error: Error): Answer | undefined {
  if (error instanceof FsError) return BY_ERRNO.get(error.errno);
  if (error instanceof SynclineError) return BY_CODE.get(error.code);
  return BY_CODE.get(systemCodeOf(error));
}

function headersOf(status: number): Readonly<Record<string, string>> {
  return status === 503 ? { "retry-after": "5" } : {};
}

const FULL: Answer = [507, "No space left. Nothing of this request was stored."];
const AWAY: Answer = [503, "The bucket is unreachable. Try again later."];

const BY_ERRNO = new Map<number, Answer>([
  [ERRNO.ENOENT, [404, "There is nothing here."]],
  [ERRNO.ESTALE, [404, "This no longer exists."]],
  [ERRNO.EEXIST, [405, "Something already exists here."]],
  [ERRNO.ENOTDIR, [409, "A parent of this path is not a folder."]],
  [ERRNO.EISDIR, [409, "This is a folder."]],
  [ERRNO.ENOTEMPTY, [409, "The folder is not empty."]],
  [ERRNO.EINVAL, [403, "A folder cannot be moved into itself."]],
  [ERRNO.EPERM, [403, "This is not permitted here."]],
  [ERRNO.EACCES, [403, "This is not permitted here."]],
  [ERRNO.EROFS, [403, "This share is read-only."]],
  [ERRNO.ELOOP, [404, "There is nothing here."]],
  [ERRNO.ENAMETOOLONG, [414, "A name may have at most 255 bytes."]],
  [ERRNO.EFBIG, [413, "A file cannot be this large."]],
  [ERRNO.E2BIG, [507, "A file's properties may take at most 64 KiB."]],
  [ERRNO.ENOSPC, FULL],
  [ERRNO.EMLINK, FULL],
]);

const BY_CODE = new Map<unknown, Answer>([
  ["disk_full", FULL],
  ["over_quota", FULL],
  ...DISK_FULL.map((code) => [code, FULL] as const),
  ["EFBIG", [413, "A file cannot be this large."]],
  ["limit_exceeded", [413, "This is too large."]],
  ["read_timeout", AWAY],
  ["store_unreachable", AWAY],
  ["arbiter_unreachable", AWAY],
  ["time_out", AWAY],
]);
