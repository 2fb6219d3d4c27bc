/** The type of a commit that was read and checked. */
import type { Cid } from "../base/ids.ts";
import type { CommitBody } from "../format/commits/commit-body.ts";
import type { Heads } from "../format/commits/heads.ts";

/** A commit whose signature, certificate, genesis and features were checked. */
export interface VerifiedCommit {
  readonly cid: Cid;
  readonly body: CommitBody;
  readonly certificate: Cid;
  readonly heads: Heads;
}
