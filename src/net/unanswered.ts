/** The failure of an exchange with a server. */

/** The answer is missing or incomplete. */
export class Unanswered extends Error {
  /** Whether any part of the request may have reached the server. */
  readonly sent: boolean;
  constructor(sent: boolean, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = "Unanswered";
    this.sent = sent;
  }
}
